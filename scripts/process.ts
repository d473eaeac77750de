import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

export const root: string = fileURLToPath(new URL("..", import.meta.url));

export interface StepOptions {
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a program of `node_modules/.bin` with the console attached; true when it succeeded. */
export function step(program: string, args: readonly string[], options: StepOptions = {}): boolean {
  const { status } = spawnSync(`${root}node_modules/.bin/${program}`, args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, PATH: `${root}node_modules/.bin:${process.env["PATH"]}`, ...options.env },
  });
  return status === 0;
}
