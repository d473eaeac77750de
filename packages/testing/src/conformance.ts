export { backendConformance, type ConformanceOptions } from "./conformance/suite.ts";
