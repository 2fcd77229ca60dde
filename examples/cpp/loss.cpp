// MultiMarginLoss on the CPU in plain C++17, float32 and float64, each computed in its own precision.
#include "loss.hpp"

#include <limits>
#include <stdexcept>

static_assert(std::numeric_limits<float>::is_iec559 && std::numeric_limits<double>::is_iec559);

namespace {

// A call that was found valid: rows, classes, and whether one row stands for itself.
struct Sizes {
    std::int64_t rows, classes;
};

template <class... Words> [[noreturn]] void reject(const Words&... words) {
    throw std::invalid_argument((std::string() + ... + words));
}

void check_options(const Call& call) {
    if (call.p != 1 && call.p != 2) reject("p=", std::to_string(call.p), ", but should be 1 or 2");
    if (call.reduction != "none" && call.reduction != "mean" && call.reduction != "sum") {
        reject("reduction='", call.reduction, "', but should be 'none', 'mean' or 'sum'");
    }
}

void check_dtypes(const Call& call) {
    const std::string& dtype = call.input.dtype;
    if (dtype != "float32" && dtype != "float64") {
        reject("input of dtype ", dtype, ", but should be float32 or float64");
    }
    if (call.target.dtype != "int64") reject("target of dtype ", call.target.dtype, ", but should be int64");
    if (call.weight && call.weight->dtype != dtype) {
        reject("weight of dtype ", call.weight->dtype, ", but should be ", dtype);
    }
}

Sizes check_shapes(const Call& call) {
    const Shape& shape = call.input.shape;
    if (shape.size() != 1 && shape.size() != 2) {
        reject("input of shape ", to_text(shape), ", but should be (N, C) or (C,)");
    }
    const Sizes sizes{shape.size() == 2 ? shape[0] : 1, shape.back()};
    if (sizes.classes == 0) reject("input of shape ", to_text(shape), ", but should have at least one class");
    const Shape wanted(shape.begin(), shape.end() - 1);
    if (call.target.shape != wanted) {
        reject("target of shape ", to_text(call.target.shape), ", but should be ", to_text(wanted));
    }
    const Shape each{sizes.classes};
    if (call.weight && call.weight->shape != each) {
        reject("weight of shape ", to_text(call.weight->shape), ", but should be ", to_text(each));
    }
    return sizes;
}

Sizes check(const Call& call) {
    check_options(call);
    check_dtypes(call);
    const Sizes sizes = check_shapes(call);
    for (std::int64_t n = 0; n < sizes.rows; ++n) {
        const std::int64_t y = call.target.data<std::int64_t>()[n];
        if (y >= 0 && y < sizes.classes) continue;
        const std::string limit = std::to_string(sizes.classes);
        reject("target[", std::to_string(n), "]=", std::to_string(y), ", but should be in [0, ", limit, ")");
    }
    return sizes;
}

// One row, and what it is multiplied by: the weight of its target's class.
template <class T> struct Row {
    const T* x;
    std::int64_t classes, y;
    T margin, w;

    Row(const Call& call, const Sizes& sizes, std::int64_t n)
        : x(call.input.data<T>() + n * sizes.classes), classes(sizes.classes), y(call.target.data<std::int64_t>()[n]),
          margin(static_cast<T>(call.margin)), w(call.weight ? call.weight->data<T>()[y] : T(1)) {}

    // Call visit(i, z) for every class with z > 0 but the target.
    template <class Visit> void each_active(Visit visit) const {
        const T first = margin - x[y];
        for (std::int64_t i = 0; i < classes; ++i) {
            const T z = first + x[i];
            if (i != y && z > 0) visit(i, z);
        }
    }

    T loss(bool square) const {
        T sum = 0;
        each_active([&](std::int64_t, T z) { sum += w * (square ? z * z : z); });
        return sum / static_cast<T>(classes);
    }

    // Fill a row of the gradient, which is zero; scale is grad_output / D.
    void gradient(bool square, T scale, T* out) const {
        const T slope = scale * w;
        T sum = 0;
        each_active([&](std::int64_t i, T z) {
            out[i] = square ? 2 * z * slope : slope;
            sum += out[i];
        });
        out[y] = -sum;
    }
};

template <class T> Array loss(const Call& call, const Sizes& sizes) {
    Array result(call.input.dtype, call.reduction == "none" ? call.target.shape : Shape{});
    double total = 0;
    for (std::int64_t n = 0; n < sizes.rows; ++n) {
        const T value = Row<T>(call, sizes, n).loss(call.p == 2);
        if (call.reduction == "none") result.data<T>()[n] = value;
        total += value;
    }
    if (call.reduction == "mean") total /= static_cast<double>(sizes.rows);  // NaN for an empty batch
    if (call.reduction != "none") result.data<T>()[0] = static_cast<T>(total);
    return result;
}

template <class T> Array gradient(const Array& grad_output, const Call& call, const Sizes& sizes) {
    Array result(call.input.dtype, call.input.shape);
    const std::int64_t divisor = call.reduction == "mean" ? sizes.rows * sizes.classes : sizes.classes;
    for (std::int64_t n = 0; n < sizes.rows; ++n) {
        const T g = grad_output.data<T>()[call.reduction == "none" ? n : 0];
        T* out = result.data<T>() + n * sizes.classes;
        Row<T>(call, sizes, n).gradient(call.p == 2, g / static_cast<T>(divisor), out);
    }
    return result;
}

}  // namespace

Offer offer() {
    Offer made;
    made.name = "example in C++";
    made.version = "1";
    return made;
}

Array forward(const Call& call) {
    const Sizes sizes = check(call);
    return call.input.dtype == "float32" ? loss<float>(call, sizes) : loss<double>(call, sizes);
}

Array backward(const Array& grad_output, const Call& call) {
    const Sizes sizes = check(call);
    const Shape& wanted = call.reduction == "none" ? call.target.shape : Shape{};
    if (grad_output.dtype != call.input.dtype || grad_output.shape != wanted) {
        reject("grad_output of dtype ", grad_output.dtype, " and shape ", to_text(grad_output.shape),
               ", but should be ", call.input.dtype, " and ", to_text(wanted));
    }
    if (call.input.dtype == "float32") return gradient<float>(grad_output, call, sizes);
    return gradient<double>(grad_output, call, sizes);
}
