import { backendConformance } from "../../testing/src/conformance.ts";
import { cpu } from "./index.ts";

// Every program as it is compiled when it is warm.
backendConformance(() => cpu({ warmUp: 0 }));
