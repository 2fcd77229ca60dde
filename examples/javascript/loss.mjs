// MultiMarginLoss in JavaScript: float64 as numbers are, float32 by rounding every operation with Math.fround.
import { NDArray } from "./protocol.mjs";

export const name = "example in JavaScript";
export const version = "1";
export const capabilities = {
  dtypes: ["float32", "float64"],
  p: [1, 2],
  reductions: ["none", "mean", "sum"],
  shapes: ["batched", "unbatched"],
  gradient: true,
  permissions: [],
};

const ROUND = { float32: Math.fround, float64: (x) => x };

function need(condition, message) {
  if (!condition) throw new RangeError(message());
}

const text = (shape) => `(${shape.join(", ")})`;
const same = (a, b) => a.length === b.length && a.every((size, k) => size === b[k]);

// Reject what is invalid; return what a valid call comes to.
function checked({ input, target, weight, p, margin, reduction }) {
  need(p === 1 || p === 2, () => `p=${p}, but should be 1 or 2`);
  need(capabilities.reductions.includes(reduction), () => `reduction='${reduction}', but should be none, mean or sum`);
  need(Object.hasOwn(ROUND, input.dtype), () => `input of dtype ${input.dtype}, but should be float32 or float64`);
  need(target.dtype === "int64", () => `target of dtype ${target.dtype}, but should be int64`);
  need(!weight || weight.dtype === input.dtype, () => `weight of dtype ${weight?.dtype}, but should be ${input.dtype}`);
  const rank = input.shape.length;
  need(rank === 1 || rank === 2, () => `input of shape ${text(input.shape)}, but should be (N, C) or (C,)`);
  const C = input.shape[rank - 1];
  const N = rank === 2 ? input.shape[0] : 1;
  need(C > 0, () => `input of shape ${text(input.shape)}, but should have at least one class`);
  const wanted = input.shape.slice(0, -1);
  need(same(target.shape, wanted), () => `target of shape ${text(target.shape)}, but should be ${text(wanted)}`);
  need(!weight || same(weight.shape, [C]), () => `weight of shape ${text(weight?.shape ?? [])}, but should be (${C},)`);
  const round = ROUND[input.dtype];
  const y = classes(target.data, C);
  return { N, C, y, x: input.data, w: weight?.data, m: round(margin), square: p === 2, round };
}

function classes(targets, C) {
  const limit = BigInt(C);
  const outside = targets.findIndex((y) => y < 0n || y >= limit);
  need(outside < 0, () => `target[${outside}]=${targets[outside]}, but should be in [0, ${C})`);
  return Array.from(targets, Number);
}

// Call visit(i, z) with the place of every active element of a row but the target's, and its z > 0.
function eachActive({ C, x, y, m, round }, n, visit) {
  const first = round(m - x[n * C + y[n]]);
  for (let i = 0; i < C; i++) {
    const z = round(first + x[n * C + i]);
    if (z > 0 && i !== y[n]) visit(n * C + i, z);
  }
}

function rowLoss(call, n) {
  const { C, y, w, square, round } = call;
  let sum = 0;
  eachActive(call, n, (_, z) => {
    const h = square ? round(z * z) : z;
    sum = round(sum + (w ? round(w[y[n]] * h) : h));
  });
  return round(sum / C);
}

export function forward(given) {
  const call = checked(given);
  const none = given.reduction === "none";
  const result = new NDArray(given.input.dtype, none ? given.target.shape : []);
  const { data } = result;
  let total = 0; // a double, whatever the dtype
  for (let n = 0; n < call.N; n++) {
    const loss = rowLoss(call, n);
    if (none) data[n] = loss;
    total += loss;
  }
  if (!none) data[0] = given.reduction === "mean" ? total / call.N : total; // NaN for the mean of an empty batch
  return result;
}

function fillRow(call, n, scale, out) {
  const { C, y, w, square, round } = call;
  const slope = w ? round(scale * w[y[n]]) : scale;
  let sum = 0;
  eachActive(call, n, (place, z) => {
    out[place] = square ? round(2 * z) * slope : slope; // rounded by the typed array
    sum = round(sum + out[place]);
  });
  out[n * C + y[n]] = -sum;
}

export function backward({ gradOutput, ...given }) {
  const call = checked(given);
  const { input, target, reduction } = given;
  const wanted = reduction === "none" ? target.shape : [];
  const { dtype, shape } = gradOutput;
  need(dtype === input.dtype, () => `grad_output of dtype ${dtype}, but should be ${input.dtype}`);
  need(same(shape, wanted), () => `grad_output of shape ${text(shape)}, but should be ${text(wanted)}`);
  const result = new NDArray(input.dtype, input.shape);
  const divisor = call.round(reduction === "mean" ? call.N * call.C : call.C);
  const g = gradOutput.data;
  const out = result.data;
  for (let n = 0; n < call.N; n++) fillRow(call, n, call.round(g[reduction === "none" ? n : 0] / divisor), out);
  return result;
}
