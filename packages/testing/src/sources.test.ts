import { bind, definePrimitive, type NDArray, namedScope, printJaxpr, setDefaultBackend, ShapeDtypeStruct } from "@traceform/core";
import { customJvp, customVjp, grad, jvp, vjp } from "@traceform/grad";
import { jit, makeJaxpr } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import "@traceform/numpy/methods";
import { vmap } from "@traceform/vmap";
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { referenceBackend } from "./reference/backend.ts";

beforeAll(() => {
  setDefaultBackend(referenceBackend());
});

const x3 = (): NDArray => np.array([1, 2, 3]);

/** The line of this file that `marker` is written in, found in the source text of `fn`'s own stack. */
function lineOf(fn: () => unknown): { message: string; line: number } {
  try {
    fn();
  } catch (error) {
    const { message } = error as Error;
    const found = /\bat:? [^\n]*sources\.test\.ts:(\d+):\d+/.exec(message);
    return { message, line: Number(found?.[1]) };
  }
  throw new Error("nothing was thrown");
}
/** The line that calls this. */
function here(): number {
  const line = new Error().stack!.split("\n")[2];
  return Number(/:(\d+):\d+\)?$/.exec(line)![1]);
}

describe("errors while tracing name the user's line", () => {
  let at = 0;
  const mismatched = (x: NDArray): NDArray => {
    at = here() + 1;
    return np.add(x, np.ones([7]));
  };
  test("shapes that do not fit, however deep the transformations", () => {
    const deep = (x: NDArray): NDArray =>
      lax.scan((c: NDArray, y: NDArray) => [np.add(c, np.sum(mismatched(y))), null], 0, np.array([[1, 2, 3]]))[0].mul(np.sum(x));
    const programs: readonly (() => unknown)[] = [
      () => jit(mismatched)(x3()),
      () => grad((x: NDArray) => np.sum(mismatched(x)))(x3()),
      () => vmap(mismatched)(np.ones([2, 3])),
      () => jit(vmap(grad((x: NDArray) => np.sum(jit(mismatched)(x)))))(np.ones([2, 3])),
      () => jit(grad(deep))(x3()),
      () => jvp((x: NDArray) => lax.cond(true, mismatched, mismatched, x), [x3()], [x3()]),
      () => lax.whileLoop((x: NDArray) => np.less(np.sum(x), 1), mismatched, x3()),
    ];
    for (const program of programs) {
      const { message, line } = lineOf(program);
      expect(message).toMatch(/^add: /);
      expect(line, message).toBe(at);
    }
  });

  test("outside transformations the stack says it, and the message stays short", () => {
    expect(() => mismatched(x3())).toThrow(/^add: (?![\s\S]*sources\.test)/);
  });

  test("concretisation: the line, and what the value was made by", () => {
    let made = 0;
    const { message, line } = lineOf(() =>
      jit((x: NDArray) => {
        made = here() + 1;
        const y = np.sum(np.sin(x));
        at = here() + 1;
        return Number(y) > 0 ? x : y;
      })(x3()),
    );
    expect(message).toMatch(/a traced float32\[\] inside jit\(.*\); it was made by reduce_sum at .*sources\.test\.ts/);
    expect(message).toContain(`sources.test.ts:${made}:`);
    expect(message).toContain(`sources.test.ts:${at}:`);
    expect([made, at]).toContain(line);
    expect(() => jit((x: NDArray) => x.itemSync())(np.array(1))).toThrow(/it was argument 0 of jit/);
  });

  test("leaks: where the tracer was made", () => {
    let kept: NDArray = x3();
    jit((x: NDArray) => {
      at = here() + 1;
      kept = np.cos(x);
      return x;
    })(x3());
    for (const use of [() => np.add(kept, 1), () => kept.jsSync(), () => jit((x: NDArray) => np.add(x, kept))(x3())]) {
      expect(use).toThrow(new RegExp(`leaked from jit[\\s\\S]*made by cos at .*sources\\.test\\.ts:${at}:`));
    }
  });

  test("rules that users wrote have lines of their own", () => {
    const f = customJvp((x: NDArray) => np.sin(x));
    f.defjvp(([x], [dx]) => {
      at = here() + 1;
      return [np.sin(x), np.add(dx, np.ones([7]))];
    });
    const g = customVjp((x: NDArray) => np.sin(x));
    g.defvjp(
      (x) => [np.sin(x), x],
      (x, ct) => {
        at = here() + 1;
        return [np.multiply(np.add(x, np.ones([7])), ct)];
      },
    );
    for (const h of [f, g]) {
      for (const run of [
        () => grad((x: NDArray) => np.sum(h(x)))(x3()),
        () => jit(grad((x: NDArray) => np.sum(h(x))))(x3()),
        () => jit(grad((x: NDArray) => np.sum(jit(h)(x))))(x3()),
      ]) {
        const { message, line } = lineOf(run);
        expect(message).toMatch(/^add: /);
        expect(line, message).toBe(at);
      }
    }
  });

  test("what cannot be transposed, although that is found out later", () => {
    const f = (x: NDArray): NDArray => {
      at = here() + 1;
      return lax.whileLoop(
        (c: NDArray) => np.less(c, 8),
        (c: NDArray) => np.multiply(c, 2),
        np.sin(x),
      );
    };
    for (const run of [() => grad(f)(np.array(1)), () => vjp(f, np.array(1))[1](1), () => jit(grad(jit(f)))(np.array(1))]) {
      const { message, line } = lineOf(run);
      expect(message).toMatch(/reverse-mode differentiation does not work for whileLoop/);
      expect(line, message).toBe(at);
    }
  });

  test("a primitive without a rule", () => {
    const plain = definePrimitive("plain", { abstractEval: ([x]) => [x] });
    const f = (x: NDArray): NDArray => {
      at = here() + 1;
      return bind(plain, [np.sin(x)], {})[0];
    };
    for (const run of [() => grad(f)(np.array(1)), () => vmap(f)(x3()), () => jit(grad(jit(f)))(np.array(1))]) {
      const { message, line } = lineOf(run);
      expect(message).toMatch(/the primitive "plain" has no/);
      expect(line, message).toBe(at);
    }
  });

  test("carries, branches and structures that differ", () => {
    const { message, line } = lineOf(() =>
      jit((x: NDArray) => {
        at = here() + 1;
        return lax.scan((c: NDArray, y: NDArray) => [np.add(np.reshape(c, [1]), y), null], x, np.ones([4]))[0];
      })(np.array(1)),
    );
    expect(message).toMatch(/the carry must keep its type/);
    expect(line).toBe(at);
    const branches = lineOf(() =>
      grad((x: NDArray) => {
        at = here() + 1;
        return lax.cond(
          true,
          (y: NDArray) => y,
          (y: NDArray) => np.reshape(y, [1]),
          x,
        );
      })(np.array(1)),
    );
    expect(branches.message).toMatch(/the branches return different types/);
    expect(branches.line).toBe(at);
  });
});

describe("equations know their line", () => {
  let at = 0;
  const f = (x: NDArray): NDArray =>
    namedScope("layer", () => {
      at = here() + 1;
      return np.sum(np.sin(x));
    });
  const struct = new ShapeDtypeStruct([3], "float32");

  test("also after they were transformed", () => {
    for (const g of [f, grad(f), jit(f), grad(jit(f)), (x: NDArray) => vmap(jit(f))(np.reshape(x, [3, 1]))]) {
      const { jaxpr } = makeJaxpr(g as (x: NDArray) => NDArray)(struct);
      const seen = new Map<string, string | null>();
      const visit = (j: typeof jaxpr): void => {
        for (const { primitive, source, params } of j.eqns) {
          seen.set(primitive.name, source?.frame ?? null);
          if ("jaxpr" in params) visit(params["jaxpr"] as typeof jaxpr);
        }
      };
      visit(jaxpr);
      for (const name of ["sin", "cos", "reduce_sum", "mul"]) {
        if (seen.has(name)) expect(seen.get(name), name).toMatch(new RegExp(`sources\\.test\\.ts:${at}:`));
      }
      expect([...seen.keys()].some((name) => name === "sin" || name === "cos")).toBe(true);
    }
  });

  test("printing shows lines and scopes when asked", () => {
    const closed = makeJaxpr(f)(struct);
    expect(printJaxpr(closed)).not.toMatch(/sources|layer/);
    const text = printJaxpr(closed, { sourceInfo: true, nameStack: true });
    expect(text).toMatch(new RegExp(`= sin\\[name=layer\\] a # .*sources\\.test\\.ts:${at}:\\d+\\n`));
    expect(text).toMatch(/reduce_sum\[name=layer axes=\(0,\)\] b # /);
  });

  test("scopes nest, and end with a throw", () => {
    expect(() =>
      namedScope("outer", () => {
        throw new Error("out");
      }),
    ).toThrow("out");
    const { jaxpr } = makeJaxpr((x: NDArray) => namedScope("a", () => namedScope("b", () => np.sin(x))))(struct);
    expect(jaxpr.eqns[0].source?.scope).toBe("a/b");
  });
});

test("folders of users may have the names of ours", async () => {
  const folder = fileURLToPath(new URL("../../../out/sources/packages/app/src/", import.meta.url));
  mkdirSync(folder, { recursive: true });
  const file = `${folder}model.ts`;
  writeFileSync(file, 'import { add, ones } from "@traceform/numpy";\nexport const f = () => add(ones([2]), ones([3]));\n');
  const { f } = (await import(/* @vite-ignore */ file)) as { f: () => NDArray };
  expect(() => jit(f)()).toThrow(/packages\/app\/src\/model\.ts:2:/);
});
