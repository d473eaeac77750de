import { referenceBackend } from "./index.ts";
import { backendConformance } from "./conformance.ts";

// The oracle against itself: every case traces, compiles and runs.
backendConformance(() => referenceBackend());
