// Arrays as the protocol sends them: raw bytes with a dtype and a shape.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

using Shape = std::vector<std::int64_t>;

// Elements in C order. The bytes are what was sent, and what will be: no number is converted on the way.
struct Array {
    std::string dtype;  // "float32", "int64" ...
    Shape shape;        // {} for a 0-d array, which has one element
    std::vector<unsigned char> bytes;

    Array() = default;
    Array(std::string name, Shape sizes_of_axes);  // all zero; throws std::invalid_argument

    template <class T> T* data() { return reinterpret_cast<T*>(bytes.data()); }
    template <class T> const T* data() const { return reinterpret_cast<const T*>(bytes.data()); }
    std::size_t rank() const { return shape.size(); }
    std::int64_t size() const;  // the number of elements
};

// Return the bytes of one element, 0 for a dtype that is not one of the protocol's.
std::size_t item_size(std::string_view dtype);

// Return how many elements a shape has. Throws std::invalid_argument for a negative size, or 2**40 and more.
std::int64_t elements(const Shape& shape);

std::string to_text(const Shape& shape);  // "(2, 3)"

// Return the bytes that hexadecimal digits stand for. Throws std::invalid_argument.
std::vector<unsigned char> from_hex(std::string_view text);

void append_hex(std::string& out, const std::vector<unsigned char>& bytes);

// Return the CRC-32 of zlib, gzip and PNG.
std::uint32_t crc32(const std::vector<unsigned char>& bytes);
