import { setDefaultBackend } from "@traceform/core";
import { nestingTests } from "./nestingtests.ts";
import { referenceBackend } from "./reference/backend.ts";

setDefaultBackend(referenceBackend({ devices: 2 }));
nestingTests(Number(process.env["TRACEFORM_NESTINGS"] ?? (process.env["TRACEFORM_FULL"] === "1" ? 10_000 : 2000)));
