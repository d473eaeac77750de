import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** What two processes of a script beside this one print; null where there is no mpirun. */
export function underMpi(script: string, ...options: readonly string[]): string | null {
  const env = { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" };
  const path = fileURLToPath(new URL(script, import.meta.url));
  const args = ["-np", "2", "--oversubscribe", process.execPath, path, ...options];
  const { error, status, stdout, stderr } = spawnSync("mpirun", args, { env, encoding: "utf8" });
  if (error !== undefined) return null;
  if (status !== 0) throw new Error(stderr);
  return stdout;
}
