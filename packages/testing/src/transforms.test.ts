import { readFileSync } from "node:fs";
import { setDefaultBackend } from "@traceform/core";
import type { NumpyCase } from "./numpygoldens.ts";
import { referenceBackend } from "./reference/backend.ts";
import { type Transformed, transformTests } from "./transformtests.ts";

const read = <T>(name: string): T => JSON.parse(readFileSync(new URL(`../goldens/${name}`, import.meta.url), "utf8")) as T;

setDefaultBackend(referenceBackend());
transformTests(read<readonly NumpyCase[]>("numpy.json"), read<readonly Transformed[]>("transforms.json"));
