import { setDefaultBackend } from "@traceform/core";
import { programTests } from "./programtests.ts";
import { referenceBackend } from "./reference/backend.ts";

setDefaultBackend(referenceBackend());
programTests(Number(process.env["TRACEFORM_PROGRAMS"] ?? (process.env["TRACEFORM_FULL"] === "1" ? 10_000 : 2000)));
