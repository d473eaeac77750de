import { cpu } from "@traceform/backend-cpu";
import { setDefaultBackend } from "@traceform/core";
import { programTests } from "./programtests.ts";

setDefaultBackend(cpu());
programTests(Number(process.env["TRACEFORM_PROGRAMS"] ?? 400));
