import {
  type Aval,
  isInteger,
  promote,
  sameShape,
  ShapeError,
  TreeError,
  type Treedef,
  treeFlattenWithPath,
  treeUnflatten,
  updateAval,
} from "@traceform/core";

/** One side of a type that must agree: an aval, and whether it came from a JavaScript number. */
export interface Leaf {
  readonly aval: Aval;
  /** The integral value of a JavaScript number, which may become an integer. */
  readonly integralNumber: boolean;
}

/**
 * The type to which both sides can be brought by weak promotion alone, or null: a weak value gives way to a strong
 * one; JavaScript numbers that are integral give way to integers too. Strong types never change.
 */
export function joinTypes(a: Leaf, b: Leaf): Aval | null {
  if (!sameShape(a.aval.shape, b.aval.shape)) return null;
  const { dtype, weakType } = a.aval;
  if (b.aval.dtype === dtype) return weakType === b.aval.weakType ? a.aval : updateAval(a.aval, { weakType: false });
  if (a.integralNumber && isInteger(b.aval.dtype)) return b.aval;
  if (b.integralNumber && isInteger(dtype)) return a.aval;
  if (!weakType && !b.aval.weakType) return null;
  if (typeof dtype !== "string" || typeof b.aval.dtype !== "string") return null;
  const joined = promote([a.aval, b.aval]);
  const keepsStrong = [a.aval, b.aval].every((x) => x.weakType || (x.dtype === joined.dtype && !joined.weakType));
  return keepsStrong ? updateAval(a.aval, joined) : null;
}

/** @throws {TreeError} when a body returns another structure than it must */
export function checkStructure(fn: string, what: string, expected: Treedef, got: Treedef): void {
  if (expected === got) return;
  throw new TreeError(fn, {
    message: `${what} must have the structure of the input, ${expected}, but has ${got}`,
    fix: "return containers of the same kinds, with the same keys and lengths, as came in",
  });
}

/** The error for types that differ: one line for each leaf that does. */
export function typeMismatch(
  fn: string,
  what: string,
  tree: Treedef,
  left: readonly [name: string, avals: readonly Aval[]],
  right: readonly [name: string, avals: readonly Aval[]],
  fix: string,
): ShapeError {
  const paths = treeFlattenWithPath(
    treeUnflatten(
      tree,
      left[1].map((_, i) => i),
    ),
  );
  const lines = paths.flatMap(([path], i) => {
    const [a, b] = [left[1][i], right[1][i]];
    if (a.dtype === b.dtype && sameShape(a.shape, b.shape)) return [];
    return [`    ${path === "" ? "(the value)" : path}: ${left[0]} ${describe(a)}, ${right[0]} ${describe(b)}`];
  });
  return new ShapeError(fn, { message: `${what}\n${lines.join("\n")}`, fix });
}

function describe(a: Aval): string {
  return `${a}${a.weakType ? " (weak)" : ""}`;
}
