import type { HostStep } from "@traceform/core";
import type { Node } from "./graph.ts";
import type { Scope } from "./scope.ts";

/** The operation that host steps are in a block; `host` among its parameters is the step. */
export const hostOperation = "host_step";

/** A call out to JavaScript: operands have to be in memory before it, and results are there after it. */
export function lowerHost(scope: Scope, node: Node): void {
  const reads = node.ins.map((v) => scope.view(v));
  const writes = node.outs.map((v) => scope.target(v));
  const host = node.params["host"] as HostStep;
  scope.push({ kind: "host", step: scope.lowering.host(host), reads, writes, meets: host.meet !== undefined });
}
