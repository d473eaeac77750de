import { defaultBackend, type StandardDType } from "@traceform/core";

/** The smallest dtype of the default backend that holds a byte. */
export function byteType(): StandardDType {
  return defaultBackend().capabilities.dtypes.includes("uint8") ? "uint8" : "int32";
}
