import type { NDArray } from "@traceform/core";
import { allChecks, check, checkify, type Error as CheckError, nanChecks, userChecks } from "./index.ts";

declare const x: NDArray;
interface Params {
  readonly w: NDArray;
  readonly layers: readonly NDArray[];
}
declare const params: Params;

// The arguments stay what they are, and the result stands beside the error under its own type.
const step = checkify((p: Params, _y: NDArray): Params => p, { errors: allChecks });
const [err, next]: [CheckError, Params] = step(params, 2);
const message: string | null = err.get();
checkify((y: NDArray) => y, { errors: new Set([...userChecks, ...nanChecks]) })(x);
check(x, "{} {name}", params, { name: x });

// @ts-expect-error an argument is missing
step(params);
// @ts-expect-error no category of checks
checkify((y: NDArray) => y, { errors: new Set(["nans"]) });
// @ts-expect-error the message comes second
check(x, x);

void [next, message];
