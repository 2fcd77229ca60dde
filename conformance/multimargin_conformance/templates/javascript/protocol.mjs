// The stdio protocol of multimargin (PROTOCOL.md): one JSON request a line in, one JSON answer a line out.
// Nothing here needs changes: loss.mjs is what is checked.

const LONGEST_LINE = 8 << 20;
const LONGEST_MESSAGE = 1000;
const MOST_AXES = 32;
const ITEM_SIZES = {
  float16: 2, bfloat16: 2, float32: 4, float64: 8,
  int8: 1, uint8: 1, int16: 2, uint16: 2, int32: 4, int64: 8, bool: 1,
};
const VIEWS = {
  float32: Float32Array, float64: Float64Array, float16: Uint16Array, bfloat16: Uint16Array, bool: Uint8Array,
  int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array, int64: BigInt64Array,
};
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let code = byte;
  for (let bit = 0; bit < 8; bit++) code = code & 1 ? (code >>> 1) ^ 0xedb88320 : code >>> 1;
  return code;
});

// A request that cannot be understood: the suite's mistake, or this file's.
class BadRequest extends Error {}

function need(condition, reason) {
  if (!condition) throw new BadRequest(reason);
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

// An array: dtype, shape, the raw bytes in C order (what was sent, and what will be), and a typed view of them.
// float16 and bfloat16 are seen as Uint16Array, int64 as BigInt64Array.
export class NDArray {
  constructor(dtype, shape, bytes = Buffer.alloc(elements(shape) * ITEM_SIZES[dtype])) {
    this.dtype = dtype;
    this.shape = shape;
    this.bytes = bytes;
  }

  get data() {
    const View = VIEWS[this.dtype];
    return new View(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length / View.BYTES_PER_ELEMENT);
  }
}

const elements = (shape) => shape.reduce((product, size) => product * size, 1);

function toArray(data) {
  need(isObject(data), "an array that is no object");
  const { dtype, shape, hex } = data;
  need(!("layout" in data) && !("block" in data), "layout and block are not offered");
  need(Object.hasOwn(ITEM_SIZES, dtype), "a dtype outside the protocol");
  need(Array.isArray(shape) && shape.length <= MOST_AXES, "a shape that is no list of sizes");
  need(shape.every((size) => Number.isSafeInteger(size) && size >= 0), "a shape that is no list of sizes");
  const digits = 2 * elements(shape) * ITEM_SIZES[dtype];
  need(typeof hex === "string" && hex.length === digits, "bytes that do not fill the shape");
  const bytes = Buffer.alloc(hex.length / 2); // memory of its own, so aligned for every view
  need(bytes.write(hex, "hex") === bytes.length, "what is no hexadecimal digit");
  return new NDArray(dtype, shape, bytes);
}

const toJson = ({ dtype, shape, bytes }) => ({ dtype, shape, hex: bytes.toString("hex") });

function crc32(bytes) {
  let code = ~0;
  for (let k = 0; k < bytes.length; k++) code = (code >>> 8) ^ CRC_TABLE[(code ^ bytes[k]) & 0xff];
  return (~code >>> 0).toString(16).padStart(8, "0");
}

function toCall(request) {
  const { p, margin, reduction, op } = request;
  need(op === "forward" || op === "backward", "an op that is neither forward nor backward");
  need(typeof p === "number", "no p that is a number");
  need(typeof reduction === "string", "no reduction that is a string");
  need(typeof margin === "string" && /^[0-9a-f]{16}$/.test(margin), "a margin that is no float64");
  need(request.weight !== undefined, "no weight");
  return {
    gradOutput: op === "backward" ? toArray(request.grad_output) : null,
    input: toArray(request.input),
    target: toArray(request.target),
    weight: request.weight === null ? null : toArray(request.weight),
    p,
    margin: Buffer.from(margin, "hex").readDoubleLE(0),
    reduction,
  };
}

// Shortened, and without halves of surrogate pairs.
const short = (text) => String(text).slice(0, LONGEST_MESSAGE).replace(/\p{Surrogate}/gu, "\ufffd");

// Call the implementation; whatever it throws is an answer.
function outcome(call, loss) {
  let result;
  try {
    result = call.gradOutput ? loss.backward(call) : loss.forward(call);
  } catch (error) {
    if (!(error instanceof Error)) return { status: "failed", kind: "crashed", reason: "what was thrown is no Error" };
    return { status: "rejected", type: short(error.name).slice(0, 200), message: short(error.message) };
  }
  if (result instanceof NDArray) return { status: "returned", result: toJson(result) };
  return { status: "failed", kind: "malformed", reason: `a result of type ${typeof result}, but should be an NDArray` };
}

function run(request, loss) {
  const call = toCall(request);
  const fields = outcome(call, loss);
  if (request.digests !== true) return fields;
  const arrays = { grad_output: call.gradOutput, input: call.input, target: call.target, weight: call.weight };
  fields.digests = {};
  for (const [name, array] of Object.entries(arrays)) if (array) fields.digests[name] = crc32(array.bytes);
  return fields;
}

function start(request, loss) {
  const refused = (reason) => ({ status: "refused", reason });
  need(Array.isArray(request.protocol) && typeof request.device === "string", "a start without protocol or device");
  if (!request.protocol.includes(1)) return refused("this adapter speaks version 1 of the protocol only");
  if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) return refused("a big-endian machine");
  if (!["", "cpu"].includes(request.device)) return refused(`device ${short(request.device)}, but should be cpu`);
  const { name, version, capabilities } = loss;
  return { status: "started", protocol: 1, name, version, capabilities, features: ["digests"] };
}

const COMMANDS = {
  start,
  run,
  echo: ({ arrays }) => {
    need(Array.isArray(arrays), "no list of arrays");
    return { status: "echoed", arrays: arrays.map((data) => toJson(toArray(data))) };
  },
  stop: () => ({ status: "stopped" }),
};

// Return the answer to one line as an object; id 0 where the request's own cannot be read.
function answer(line, loss) {
  let id = 0;
  try {
    const request = JSON.parse(line);
    need(isObject(request) && Number.isSafeInteger(request.id) && request.id >= 0, "no id, or one out of range");
    id = request.id;
    need(Object.hasOwn(COMMANDS, request.cmd), "a command that is not offered");
    return { id, ...COMMANDS[request.cmd](request, loss) };
  } catch (error) {
    return { id, status: "error", reason: short(error instanceof Error ? error.message : "something was thrown") };
  }
}

// Split a stream into lines: call each(line) with the text of every one, or with null for one that is too long.
function lineReader(each) {
  let parts = [];
  let size = 0;
  return (chunk) => {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, end));
      const line = parts.length > 1 ? Buffer.concat(parts) : parts[0];
      each(size + end - from > LONGEST_LINE ? null : line.toString("utf8"));
      [parts, size, from] = [[], 0, end + 1];
    }
    size += chunk.length - from;
    if (size > LONGEST_LINE) parts = []; // its end is waited for, its beginning is not kept
    else if (from < chunk.length) parts.push(chunk.subarray(from));
  };
}

// Answer every request on stdin by an implementation: name, version, capabilities, forward and backward.
export function serve(loss) {
  for (const name of ["log", "info", "debug"]) console[name] = console.error; // stdout is the protocol's
  const tooLong = { id: 0, status: "error", reason: "a line of more than 8 MiB" };
  let out = "";
  let stopped = false;
  const read = lineReader((line) => {
    if (stopped) return;
    const reply = line === null ? tooLong : answer(line, loss);
    out += JSON.stringify(reply) + "\n";
    stopped = reply.status === "stopped";
  });
  process.stdin.on("data", (chunk) => {
    read(chunk);
    const text = out;
    out = "";
    if (stopped) process.stdout.write(text, () => process.exit(0));
    else if (text) process.stdout.write(text);
  });
}
