import { type Aval, bind, makeAval, type NDArray, scalar } from "@traceform/core";
import {
  bitwiseAnd,
  argmax,
  convertElementType,
  dynamicIndexInDim,
  eq,
  full,
  randomWrapP,
  reduceOr,
  reshape,
  select,
  stopGradient,
} from "@traceform/lax";
import { avalsOf, Error as CheckError, type ErrorCategory } from "./error.ts";

const codeAval: Aval = /* @__PURE__ */ makeAval([], "int32");

/** What a program is checked for, and the slots for all values that messages of its checks show. */
export class Plan {
  readonly errors: ReadonlySet<ErrorCategory>;
  readonly slots: readonly string[];
  /** Equal plans transform a jaxpr in the same way. */
  readonly key: string;
  constructor(errors: ReadonlySet<ErrorCategory>, slots: readonly string[]) {
    this.errors = errors;
    this.slots = slots;
    this.key = `${[...errors].sort().join()}|${slots.join(";")}`;
  }
  /** The types of the state as a list of arrays: the code, then the values of each slot. */
  get avals(): Aval[] {
    return [codeAval, ...this.slots.flatMap(avalsOf)];
  }
  get size(): number {
    return this.avals.length;
  }

  /** No check has failed. */
  start(): State {
    return new State(scalar(0, "int32"), new Map(this.slots.map((slot) => [slot, avalsOf(slot).map(anything)])));
  }
  /** The state of the first of `arrays`. */
  take(arrays: readonly NDArray[]): State {
    let from = 1;
    return new State(arrays[0], new Map(this.slots.map((slot) => [slot, arrays.slice(from, (from += avalsOf(slot).length))])));
  }
}

/** Whether a check has failed so far, which, and with what values. */
export class State {
  readonly code: NDArray;
  readonly payload: ReadonlyMap<string, readonly NDArray[]>;
  constructor(code: NDArray, payload: ReadonlyMap<string, readonly NDArray[]>) {
    this.code = code;
    this.payload = payload;
  }
  get arrays(): NDArray[] {
    return [this.code, ...[...this.payload.values()].flat()];
  }
  get error(): CheckError {
    return new CheckError(this.code, this.payload);
  }

  /**
   * The state after a check. `failed` is bool[...batch]; the code, if it is an array, and the values have the same leading axes. The
   * first failure stays, and of a batch its first member counts.
   */
  after(failed: NDArray, code: number | NDArray, payload: ReadonlyMap<string, readonly NDArray[]>): State {
    if (failed.size === 0) return this;
    let pick = (x: NDArray): NDArray => x;
    let any = failed;
    if (failed.ndim > 0) {
      const flat = reshape(failed, [failed.size]);
      const first = argmax(convertElementType(flat, "int32"), 0, "int32");
      any = reduceOr(flat);
      pick = (x) => dynamicIndexInDim(reshape(x, [failed.size, ...x.shape.slice(failed.ndim)]), first, 0, false);
    }
    const here = bitwiseAnd(any, eq(this.code, 0));
    const own = typeof code === "number" ? scalar(code, "int32") : pick(code);
    return new State(
      select(here, own, this.code),
      new Map(
        [...this.payload].map(([slot, old]) => {
          const values = payload.get(slot);
          if (values === undefined) return [slot, old] as const;
          const avals = avalsOf(slot);
          return [slot, old.map((x, i) => select(here, convertTo(stopGradient(pick(values[i])), avals[i]), x))] as const;
        }),
      ),
    );
  }
}

/** Any value of a type, for a slot that nothing has filled. */
function anything({ shape, dtype }: Aval): NDArray {
  if (typeof dtype === "string") return full(shape, 0, dtype);
  return bind(randomWrapP, [full([...shape, ...dtype.physicalShape], 0, dtype.physicalDtype)], { impl: dtype })[0];
}

/** Without weak types. */
function convertTo(x: NDArray, aval: Aval): NDArray {
  return typeof aval.dtype === "string" ? convertElementType(x, aval.dtype) : x;
}
