import { type DType, dtypeName } from "./dtypes.ts";

/** Shape and dtype of an array, without values: what `evalShape` returns, and accepts in place of an array. */
export class ShapeDtypeStruct {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly weakType: boolean;
  constructor(shape: readonly number[], dtype: DType, weakType = false) {
    this.shape = shape;
    this.dtype = dtype;
    this.weakType = weakType;
  }
  get ndim(): number {
    return this.shape.length;
  }
  get size(): number {
    return this.shape.reduce((a, b) => a * b, 1);
  }
  toString(): string {
    return `${dtypeName(this.dtype)}[${this.shape.join(",")}]`;
  }
}
