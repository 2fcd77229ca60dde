#include "array.hpp"

#include <array>
#include <stdexcept>
#include <utility>

namespace {

constexpr std::int64_t most_elements = std::int64_t{1} << 40;

constexpr std::pair<std::string_view, std::size_t> sizes[] = {
    {"float32", 4}, {"float64", 8}, {"int64", 8},  {"float16", 2}, {"bfloat16", 2}, {"int8", 1},
    {"uint8", 1},   {"int16", 2},   {"uint16", 2}, {"int32", 4},   {"bool", 1},
};

std::array<std::uint32_t, 256> crc_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t code = byte;
        for (int bit = 0; bit < 8; ++bit) code = (code >> 1) ^ (code & 1 ? 0xEDB88320u : 0u);
        table[byte] = code;
    }
    return table;
}

std::array<signed char, 256> digit_table() {
    std::array<signed char, 256> table{};
    table.fill(-1);
    for (int k = 0; k < 16; ++k) table[static_cast<unsigned char>("0123456789abcdef"[k])] = static_cast<signed char>(k);
    return table;
}

}  // namespace

Array::Array(std::string name, Shape sizes_of_axes) : dtype(std::move(name)), shape(std::move(sizes_of_axes)) {
    const std::size_t item = item_size(dtype);
    if (!item) throw std::invalid_argument("dtype " + dtype + ", but should be one of the protocol's");
    bytes.resize(static_cast<std::size_t>(size()) * item);
}

std::int64_t Array::size() const { return elements(shape); }

std::size_t item_size(std::string_view dtype) {
    for (const auto& [name, size] : sizes) {
        if (name == dtype) return size;
    }
    return 0;
}

std::int64_t elements(const Shape& shape) {
    std::int64_t product = 1;
    bool none = false, many = false;
    for (const std::int64_t size : shape) {
        if (size < 0) throw std::invalid_argument("a negative size in shape " + to_text(shape));
        none = none || size == 0;
        many = many || (size && product > most_elements / size);
        if (size && !many) product *= size;
    }
    if (many && !none) throw std::invalid_argument("too many elements in shape " + to_text(shape));
    return none ? 0 : product;
}

std::string to_text(const Shape& shape) {
    std::string text = "(";
    for (std::size_t k = 0; k < shape.size(); ++k) text += (k ? ", " : "") + std::to_string(shape[k]);
    return text + (shape.size() == 1 ? ",)" : ")");
}

std::vector<unsigned char> from_hex(std::string_view text) {
    static const std::array<signed char, 256> digits = digit_table();
    if (text.size() % 2) throw std::invalid_argument("an odd number of hexadecimal digits");
    std::vector<unsigned char> bytes(text.size() / 2);
    for (std::size_t k = 0; k < bytes.size(); ++k) {
        const int high = digits[static_cast<unsigned char>(text[2 * k])];
        const int low = digits[static_cast<unsigned char>(text[2 * k + 1])];
        if ((high | low) < 0) throw std::invalid_argument("no hexadecimal digit (0 to 9 and a to f)");
        bytes[k] = static_cast<unsigned char>(high * 16 + low);
    }
    return bytes;
}

void append_hex(std::string& out, const std::vector<unsigned char>& bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    const std::size_t start = out.size();
    out.resize(start + 2 * bytes.size());
    for (std::size_t k = 0; k < bytes.size(); ++k) {
        out[start + 2 * k] = digits[bytes[k] >> 4];
        out[start + 2 * k + 1] = digits[bytes[k] & 15];
    }
}

std::uint32_t crc32(const std::vector<unsigned char>& bytes) {
    static const std::array<std::uint32_t, 256> table = crc_table();
    std::uint32_t code = 0xFFFFFFFFu;
    for (const unsigned char byte : bytes) code = (code >> 8) ^ table[(code ^ byte) & 0xFF];
    return ~code;
}
