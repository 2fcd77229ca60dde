// What an implementation of the loss has to provide: loss.cpp defines these three functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "array.hpp"

// What is offered. Whatever is left out is never asked for, and limits the claim that is printed.
struct Offer {
    std::string name = "mine";
    std::string version = "0";
    std::vector<std::string> dtypes = {"float32", "float64"};  // float16 and bfloat16 too
    std::vector<std::string> p = {"1", "2"};
    std::vector<std::string> reductions = {"none", "mean", "sum"};
    std::vector<std::string> shapes = {"batched", "unbatched"};
    bool gradient = true;
    std::vector<std::string> permissions = {};  // flush-subnormals, run-to-run-variation, accumulator
};

// One call as it was asked for: arguments of any rank, size and dtype come, to see whether they are rejected.
struct Call {
    Array input;
    Array target;
    std::optional<Array> weight;
    double p = 1;
    double margin = 1;
    std::string reduction;
};

Offer offer();

// Return the loss, in input's dtype: shape {} for "mean" and "sum", target's shape for "none".
// Throws any std::exception to reject an invalid call.
Array forward(const Call& call);

// Return the gradient with respect to input, in its shape and dtype, multiplied by grad_output. Throws likewise.
Array backward(const Array& grad_output, const Call& call);
