/** A writer for the few parts of the ONNX format that the benchmark's models need. @see onnx/onnx.proto */

type Field = Uint8Array;

function varint(n: number): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(n));
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return bytes;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}
const int = (field: number, n: number): Field => Uint8Array.from([...varint(field << 3), ...varint(n)]);
const bytes = (field: number, data: Uint8Array): Field =>
  concat([Uint8Array.from([...varint((field << 3) | 2), ...varint(data.length)]), data]);
const text = (field: number, s: string): Field => bytes(field, new TextEncoder().encode(s));
const message = (field: number, ...parts: Field[]): Field => bytes(field, concat(parts));

export type Attribute = number | readonly number[];

export interface Node {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

export interface Constant {
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

export interface Model {
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly outputs: readonly string[];
  readonly constants?: Readonly<Record<string, Constant>>;
  readonly nodes: readonly Node[];
}

function attribute(name: string, value: Attribute): Field {
  if (typeof value === "number") {
    if (Number.isInteger(value)) return message(5, text(1, name), int(3, value), int(20, 2));
    const f = new Uint8Array(new Float32Array([value]).buffer);
    return message(5, text(1, name), concat([Uint8Array.from(varint((2 << 3) | 5)), f]), int(20, 1));
  }
  return message(5, text(1, name), ...value.map((n) => int(8, n)), int(20, 7));
}

const valueInfo = (field: number, name: string, shape?: readonly number[]): Field =>
  message(
    field,
    text(1, name),
    message(2, message(1, int(1, 1), ...(shape === undefined ? [] : [message(2, ...shape.map((n) => message(1, int(1, n))))]))),
  );

/** The bytes of an ONNX model of float32 inputs and outputs, opset 20. */
export function encodeModel({ inputs, outputs, constants = {}, nodes }: Model): Uint8Array {
  const graph = [
    ...nodes.map((n) =>
      message(
        1,
        ...n.inputs.map((i) => text(1, i)),
        ...n.outputs.map((o) => text(2, o)),
        text(4, n.op),
        ...Object.entries(n.attributes ?? {}).map(([k, v]) => attribute(k, v)),
      ),
    ),
    text(2, "graph"),
    ...Object.entries(constants).map(([name, { shape, data }]) =>
      message(
        5,
        ...shape.map((n) => int(1, n)),
        int(2, data instanceof Float32Array ? 1 : 7),
        text(8, name),
        bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
      ),
    ),
    ...Object.entries(inputs).map(([name, shape]) => valueInfo(11, name, shape)),
    ...outputs.map((name) => valueInfo(12, name)),
  ];
  return concat([int(1, 9), message(7, ...graph), message(8, int(2, 20))]);
}
