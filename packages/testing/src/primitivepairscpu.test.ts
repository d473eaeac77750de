import { cpu } from "@traceform/backend-cpu";
import { setDefaultBackend } from "@traceform/core";
import { primitivePairTests } from "./primitivepairs.ts";

setDefaultBackend(cpu());
primitivePairTests();
