import { setDefaultBackend } from "@traceform/core";
import { compositionTests } from "./composition.ts";
import { referenceBackend } from "./reference/backend.ts";

setDefaultBackend(referenceBackend({ devices: 2 }));
compositionTests();
