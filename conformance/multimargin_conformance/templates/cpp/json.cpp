#include "json.hpp"

#include <cerrno>
#include <cstdlib>

namespace json {
namespace {

constexpr int deepest = 64;

bool follows(std::string_view text, std::size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

// Return the length of the UTF-8 character that starts at a place, 0 where none does.
std::size_t character(std::string_view text, std::size_t at) {
    const auto first = static_cast<unsigned char>(text[at]);
    if (first < 0x80) return 1;
    if (first < 0xC2 || first > 0xF4) return 0;
    const std::size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    for (std::size_t k = 1; k < length; ++k) {
        if (!follows(text, at + k)) return 0;
    }
    if (length < 3) return length;
    const auto second = static_cast<unsigned char>(text[at + 1]);
    const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
    const bool outside = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
    return overlong || outside ? 0 : length;
}

void append_character(std::string& text, std::uint32_t code) {
    if (code < 0x80) {
        text += static_cast<char>(code);
        return;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    const std::uint32_t lead = more == 1 ? 0xC0 : more == 2 ? 0xE0 : 0xF0;
    text += static_cast<char>(lead | (code >> (6 * more)));
    for (int k = more - 1; k >= 0; --k) text += static_cast<char>(0x80 | ((code >> (6 * k)) & 0x3F));
}

class Parser {
public:
    explicit Parser(std::string_view text) : text_(text) {}

    Value document() {
        Value found = value(0);
        skip_space();
        if (at_ != text_.size()) fail("text after the value");
        return found;
    }

private:
    std::string_view text_;
    std::size_t at_ = 0;

    [[noreturn]] void fail(const char* reason) const {
        throw Error(std::string(reason) + " at byte " + std::to_string(at_));
    }

    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

    bool accept(char wanted) {
        if (at_ >= text_.size() || text_[at_] != wanted) return false;
        ++at_;
        return true;
    }

    void expect(char wanted, const char* reason) {
        if (!accept(wanted)) fail(reason);
    }

    void skip_space() {
        while (at_ < text_.size() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) ++at_;
    }

    Value value(int depth) {
        if (depth > deepest) fail("too many levels");
        skip_space();
        switch (peek()) {
            case '{': return object(depth);
            case '[': return array(depth);
            case '"': return string();
            case 't': return word("true", Kind::boolean, true);
            case 'f': return word("false", Kind::boolean, false);
            case 'n': return word("null", Kind::null, false);
            default: return number();
        }
    }

    Value word(std::string_view wanted, Kind kind, bool truth) {
        if (text_.substr(at_, wanted.size()) != wanted) fail("no value");
        at_ += wanted.size();
        Value found;
        found.kind = kind;
        found.boolean = truth;
        return found;
    }

    Value object(int depth) {
        Value found;
        found.kind = Kind::object;
        ++at_;
        skip_space();
        if (accept('}')) return found;
        do {
            skip_space();
            if (peek() != '"') fail("no name of a member");
            std::string name = string().text;
            if (found.find(name)) fail("a name that comes twice");
            skip_space();
            expect(':', "no colon");
            found.members.push_back({std::move(name), value(depth + 1)});
            skip_space();
        } while (accept(','));
        expect('}', "an object without its end");
        return found;
    }

    Value array(int depth) {
        Value found;
        found.kind = Kind::array;
        ++at_;
        skip_space();
        if (accept(']')) return found;
        do {
            found.items.push_back(value(depth + 1));
            skip_space();
        } while (accept(','));
        expect(']', "an array without its end");
        return found;
    }

    void digits() {
        const std::size_t start = at_;
        while (peek() >= '0' && peek() <= '9') ++at_;
        if (at_ == start) fail("no value");
    }

    Value number() {
        const std::size_t start = at_;
        accept('-');
        if (!accept('0')) digits();
        if (accept('.')) digits();
        if (accept('e') || accept('E')) {
            if (!accept('+')) accept('-');
            digits();
        }
        Value found;
        found.kind = Kind::number;
        found.text = text_.substr(start, at_ - start);
        return found;
    }

    Value string() {
        Value found;
        found.kind = Kind::string;
        ++at_;
        while (!accept('"')) {
            if (at_ >= text_.size()) fail("a string without its end");
            if (accept('\\')) {
                append_character(found.text, escape());
            } else {
                plain(found.text);
            }
        }
        return found;
    }

    // Append the characters up to the next quote or escape.
    void plain(std::string& out) {
        const std::size_t start = at_;
        while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\') {
            if (static_cast<unsigned char>(text_[at_]) < 0x20) fail("a control character in a string");
            const std::size_t length = character(text_, at_);
            if (!length) fail("text that is not UTF-8");
            at_ += length;
        }
        out.append(text_.substr(start, at_ - start));
    }

    std::uint32_t escape() {
        static constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
        const char letter = peek();
        ++at_;
        if (letter == 'u') return unicode();
        const std::size_t place = letters.find(letter);
        if (place == std::string_view::npos) fail("an unknown escape");
        return static_cast<unsigned char>(meanings[place]);
    }

    // Return the character of a \u escape; half of a surrogate pair becomes the replacement character.
    std::uint32_t unicode() {
        const std::uint32_t high = four_digits();
        if (high < 0xD800 || high > 0xDFFF) return high;
        const std::size_t before = at_;
        if (high < 0xDC00 && accept('\\') && accept('u')) {
            const std::uint32_t low = four_digits();
            if (low >= 0xDC00 && low <= 0xDFFF) return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        }
        at_ = before;
        return 0xFFFD;
    }

    std::uint32_t four_digits() {
        std::uint32_t code = 0;
        for (int k = 0; k < 4; ++k, ++at_) {
            static constexpr std::string_view digits = "0123456789abcdefABCDEF";
            const std::size_t digit = at_ < text_.size() ? digits.find(text_[at_]) : std::string_view::npos;
            if (digit == std::string_view::npos) fail("an escape without four hexadecimal digits");
            code = code * 16 + static_cast<std::uint32_t>(digit < 16 ? digit : digit - 6);
        }
        return code;
    }
};

}  // namespace

const Value* Value::find(std::string_view name) const {
    for (const Member& member : members) {
        if (member.name == name) return &member.value;
    }
    return nullptr;
}

Value parse(std::string_view text) { return Parser(text).document(); }

std::int64_t integer(const Value& value) {
    if (value.kind != Kind::number || value.text.find_first_of(".eE") != std::string::npos) throw Error("no integer");
    errno = 0;
    const long long found = std::strtoll(value.text.c_str(), nullptr, 10);
    if (errno == ERANGE) throw Error("an integer of more than 64 bits");
    return found;
}

double number(const Value& value) {
    if (value.kind != Kind::number) throw Error("no number");
    return std::strtod(value.text.c_str(), nullptr);  // infinity where it is too large
}

std::string quoted(std::string_view text) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string out = "\"";
    for (std::size_t at = 0; at < text.size();) {
        const auto byte = static_cast<unsigned char>(text[at]);
        const std::size_t length = character(text, at);
        if (byte == '"' || byte == '\\') {
            (out += '\\') += text[at];
        } else if (byte < 0x20) {
            ((out += "\\u00") += digits[byte >> 4]) += digits[byte & 15];
        } else if (!length) {
            out += '?';
        } else {
            out.append(text.substr(at, length));
        }
        at += length ? length : 1;
    }
    return out += '"';
}

}  // namespace json
