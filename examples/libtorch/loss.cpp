// torch::nn::MultiMarginLoss, the C++ front end of PyTorch; the gradient is autograd's.
#include "loss.hpp"

#include <torch/torch.h>
#include <torch/version.h>

#include <cstring>
#include <map>
#include <stdexcept>

namespace {

const std::map<std::string, torch::Dtype> dtypes = {
    {"float16", torch::kHalf}, {"bfloat16", torch::kBFloat16}, {"float32", torch::kFloat}, {"float64", torch::kDouble},
    {"int8", torch::kChar},    {"uint8", torch::kByte},        {"int16", torch::kShort},   {"uint16", torch::kUInt16},
    {"int32", torch::kInt},    {"int64", torch::kLong},        {"bool", torch::kBool},
};

// Return a tensor over the array's own memory, so that a change to it would be seen.
torch::Tensor to_tensor(const Array& array) {
    void* memory = const_cast<unsigned char*>(array.bytes.data());
    return torch::from_blob(memory, array.shape, dtypes.at(array.dtype));
}

Array to_array(const torch::Tensor& tensor) {
    const torch::Tensor values = tensor.detach().contiguous();
    std::string name = "outside the protocol";
    for (const auto& [known, dtype] : dtypes) {
        if (dtype == values.scalar_type()) name = known;
    }
    Array array(name, values.sizes().vec());
    if (!array.bytes.empty()) std::memcpy(array.bytes.data(), values.data_ptr(), array.bytes.size());
    return array;
}

torch::nn::MultiMarginLossOptions options_of(const Call& call) {
    torch::nn::MultiMarginLossOptions options;
    // The class takes an int64_t and an enumeration, so that a compiler would refuse what is refused here.
    const auto p = static_cast<std::int64_t>(call.p >= -1e15 && call.p <= 1e15 ? call.p : 0);
    if (static_cast<double>(p) != call.p) throw std::invalid_argument("p is no integer");
    options.p(p).margin(call.margin);
    if (call.weight) options.weight(to_tensor(*call.weight));
    if (call.reduction == "none") return options.reduction(torch::kNone);
    if (call.reduction == "mean") return options.reduction(torch::kMean);
    if (call.reduction == "sum") return options.reduction(torch::kSum);
    throw std::invalid_argument("no torch::k... of this name");
}

torch::Tensor loss(const torch::Tensor& input, const Call& call) {
    torch::nn::MultiMarginLoss criterion(options_of(call));
    return criterion(input, to_tensor(call.target));
}

}  // namespace

Offer offer() {
    Offer made;
    made.name = "libtorch";
    made.version = TORCH_VERSION;
    return made;
}

Array forward(const Call& call) { return to_array(loss(to_tensor(call.input), call)); }

Array backward(const Array& grad_output, const Call& call) {
    const torch::Tensor input = to_tensor(call.input).requires_grad_();
    return to_array(torch::autograd::grad({loss(input, call)}, {input}, {to_tensor(grad_output)})[0]);
}
