import { isNDArray, pytreeNode, type PytreeNode } from "@traceform/core";

type Fields = Record<string, unknown>;
interface Static {
  readonly prototype: object;
  /** The names of the fields that hold arrays or modules. */
  readonly names: readonly string[];
  /** All other fields: functions, sizes, names. */
  readonly rest: Readonly<Fields>;
}

function holdsArrays(x: unknown): boolean {
  return isNDArray(x) || x instanceof Module || (Array.isArray(x) && x.some(holdsArrays));
}

/**
 * A class whose instances are pytrees: fields that hold arrays, modules or lists of them are its children, and all other
 * fields belong to its structure. So a model is an immutable value with methods, and every transformation takes it.
 */
export abstract class Module {
  // The member is static and inherited, so that no subclass has to be registered.
  static readonly [pytreeNode]: PytreeNode<Module, Static> = {
    flatten: (module) => {
      const fields = module as unknown as Fields;
      const names = Object.keys(fields).filter((k) => holdsArrays(fields[k]));
      const rest = Object.fromEntries(Object.entries(fields).filter(([k]) => !names.includes(k)));
      return [names.map((k) => fields[k]), { prototype: Object.getPrototypeOf(module) as object, names, rest }];
    },
    // No constructor runs: the children may be tracers, axes, or anything else that stands for arrays.
    unflatten: ({ prototype, names, rest }, children) =>
      Object.assign(Object.create(prototype), rest, Object.fromEntries(names.map((k, i) => [k, children[i]]))) as Module,
    names: ({ names }) => names,
  };

  /** A copy with some fields replaced. */
  replace(fields: Partial<Omit<this, keyof Module>>): this {
    return Object.assign(Object.create(Object.getPrototypeOf(this) as object), this, fields) as this;
  }
}
