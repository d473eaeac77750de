import type { Library } from "../library.ts";
import { ours } from "./own.ts";

/** Without the peers, which are not installed. */
export const makers: Readonly<Record<string, () => Promise<Library>>> = { traceform: ours };
