import type { ElementFunction } from "./common.ts";

/** Single precision forms of the functions that inner loops use most. */
export const fast32: Readonly<Record<string, ElementFunction>> = {};
