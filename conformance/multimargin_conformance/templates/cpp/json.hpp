// A strict JSON reader (RFC 8259) and what is needed to write strings.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace json {

enum class Kind { null, boolean, number, string, array, object };

struct Member;

struct Value {
    Kind kind = Kind::null;
    bool boolean = false;
    std::string text;  // a string's characters in UTF-8; a number as it was written
    std::vector<Value> items;
    std::vector<Member> members;

    const Value* find(std::string_view name) const;  // nullptr where there is no such member
};

struct Member {
    std::string name;
    Value value;
};

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Return the one value that a text is. Throws Error for anything else: also for a name that comes twice in an object,
// for text that is not UTF-8 and for more than 64 levels.
Value parse(std::string_view text);

// Return a number that is an integer and fits. Throws Error.
std::int64_t integer(const Value& value);

// Return a number as the nearest double. Throws Error.
double number(const Value& value);

// Return a text as a JSON string; what is not UTF-8 in it becomes "?".
std::string quoted(std::string_view text);

}  // namespace json
