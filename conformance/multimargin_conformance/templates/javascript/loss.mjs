// TODO: your implementation. Until forward and backward are filled in, every call is rejected.
// To return an array: import { NDArray } from "./protocol.mjs";

export const name = "mine";
export const version = "0";

// What is offered. Whatever is left out is never asked for, and limits the claim that is printed.
export const capabilities = {
  dtypes: ["float32", "float64"], // float16 and bfloat16 too
  p: [1, 2],
  reductions: ["none", "mean", "sum"],
  shapes: ["batched", "unbatched"],
  gradient: true,
  permissions: [], // flush-subnormals, run-to-run-variation, accumulator
};

// Return the loss as an NDArray of input's dtype: shape [] for "mean" and "sum", target's shape for "none".
// Arrays have dtype, shape and data (a typed array); weight may be null. Throw an Error to reject an invalid call:
// arguments of any rank, size and dtype come, to see whether they are rejected.
export function forward({ input, target, weight, p, margin, reduction }) {
  // TODO: const result = new NDArray(input.dtype, reduction === "none" ? target.shape : []); result.data[0] = ...
  throw new Error("TODO: forward in loss.mjs is not written yet");
}

// Return the gradient with respect to input, in its shape and dtype, multiplied by gradOutput. Throw likewise.
export function backward({ gradOutput, input, target, weight, p, margin, reduction }) {
  throw new Error("TODO: backward in loss.mjs is not written yet");
}
