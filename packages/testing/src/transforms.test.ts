import { readFileSync } from "node:fs";
import { setDefaultBackend } from "@traceform/core";
import { goldenFiles } from "./goldenfiles.ts";
import type { NumpyCase } from "./numpygoldens.ts";
import { referenceBackend } from "./reference/backend.ts";
import { type Transformed, transformTests } from "./transformtests.ts";

const read = <T>(name: string): T => JSON.parse(readFileSync(new URL(`../goldens/${name}`, import.meta.url), "utf8")) as T;

setDefaultBackend(referenceBackend());
for (const { values, transforms } of goldenFiles)
  transformTests(read<readonly NumpyCase[]>(values), read<readonly Transformed[]>(transforms));
