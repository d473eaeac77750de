import { namedAxisSize, TransformError } from "@traceform/core";

type Groups = readonly (readonly number[])[];

/**
 * Checks `axisIndexGroups`: each position of the axis in exactly one group.
 * @throws {TransformError} for other groups, for groups over several axes, and for ones of different sizes where sizes must be equal
 */
export function checkGroups(
  fn: string,
  axes: readonly string[],
  groups: Groups | null,
  { equalSizes }: { readonly equalSizes: boolean },
): Groups | null {
  if (groups === null) return null;
  if (axes.length !== 1) {
    throw new TransformError(fn, {
      message: `axisIndexGroups are of one axis, but ${axes.length} are named: ${axes.join(", ")}`,
      fix: "name one axis",
    });
  }
  const size = namedAxisSize(fn, axes[0]);
  const members = groups.flat().toSorted((a, b) => a - b);
  if (members.length !== size || members.some((m, i) => m !== i)) {
    throw new TransformError(fn, {
      message: `axisIndexGroups must hold each of the ${size} positions along "${axes[0]}" once`,
      operands: { axisIndexGroups: JSON.stringify(groups) },
      fix: "list the positions of every group, and leave out none",
    });
  }
  if (equalSizes && groups.some((g) => g.length !== groups[0].length)) {
    throw new TransformError(fn, {
      message: "the groups must have equal sizes, because the shape of the result depends on it",
      operands: { axisIndexGroups: JSON.stringify(groups) },
      fix: "give groups of one size",
    });
  }
  return groups;
}
