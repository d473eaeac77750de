import { setDefaultBackend } from "@traceform/core";
import { primitivePairTests } from "./primitivepairs.ts";
import { referenceBackend } from "./reference/backend.ts";

setDefaultBackend(referenceBackend());
primitivePairTests();
