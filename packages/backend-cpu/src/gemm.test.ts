import { expect, test } from "vitest";
import { v8Flags } from "./gemm.ts";

const flags = { setFlagsFromString: (): void => {} };
const host = (v8: string | undefined, arch: string): object => ({ versions: { v8 }, arch, getBuiltinModule: () => flags });

// Node 20 and 22, and engines for other processors, print "unrecognized flag" and go on.
test.each([
  ["11.3.244.8-node.30", "x64", false],
  ["12.4.254.21-node.26", "x64", false],
  ["12.9.202.28-node.12", "x64", true],
  ["14.6.202.33-node.12", "x64", true],
  ["14.6.202.33-node.12", "arm64", false],
  [undefined, "x64", false],
])("V8 %s on %s is asked for wide vectors: %s", (v8, arch, asked) => {
  expect(v8Flags(host(v8, arch))).toBe(asked ? flags : null);
});

test("there are no flags outside of Node", () => {
  expect(v8Flags({})).toBe(null);
});
