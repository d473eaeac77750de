import { backendConformance } from "../../testing/src/conformance.ts";
import { cpu } from "./index.ts";

backendConformance(() => cpu());
