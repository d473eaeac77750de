// The door for people who have nothing but npm and some Node: installs what is missing, builds, and runs a task on
// the Node that the repository pins.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);

const [task, ...args] = process.argv.slice(2);
const { packageManager } = JSON.parse(readFileSync("package.json", "utf8"));
const env = { ...process.env, PATH: `${root}node_modules/.bin:${process.env.PATH}`, TURBO_TELEMETRY_DISABLED: "1" };

function run(command, ...rest) {
  const { status, signal } = spawnSync(command, rest, { stdio: "inherit", env });
  if (status !== 0) process.exit(status ?? (signal === null ? 1 : 130));
}

/** The package manager, through npx, so that it need not be installed. */
const pnpm = (...rest) => run("npx", "-y", packageManager, ...rest);
const node = (...rest) => run("node_modules/.bin/node", ...rest);

function install() {
  const mark = "node_modules/.modules.yaml";
  const fresh =
    existsSync(mark) && existsSync("node_modules/.bin/node") && statSync(mark).mtimeMs >= statSync("pnpm-lock.yaml").mtimeMs;
  if (!fresh) pnpm("install", "--frozen-lockfile");
}

function build() {
  install();
  pnpm("exec", "turbo", "run", "build", "--output-logs=errors-only", "--ui=stream");
}

const tasks = {
  build,
  start() {
    build();
    node("examples/mnist/main.ts", ...args);
  },
  check() {
    build();
    node("scripts/check.ts");
  },
  test() {
    build();
    node("scripts/test.ts", ...args);
  },
  "test:full"() {
    build();
    node("scripts/test.ts", "--full", ...args);
  },
  bench() {
    build();
    node("benchmarks/run.ts", ...args);
  },
  parity() {
    build();
    node("scripts/parity.ts", ...args);
  },
  soak() {
    build();
    node("--expose-gc", "scripts/soak.ts", ...args);
  },
};

if (!(task in tasks)) {
  console.error(`unknown task "${task}"; there are: ${Object.keys(tasks).join(", ")}`);
  process.exit(2);
}
tasks[task]();
