import type { Ex, Index, Routine, Statement } from "@traceform/compiler";
import { type Aligned, routinePacking, shortSlots } from "./packing.ts";
import { groupsFor, nothingShared, only, type Scheduled } from "./scheduled.ts";
import type { Values } from "./values.ts";

/** A routine with an invocation for each of its tasks. */
export function scheduledRoutine(routine: Routine, aligned: Aligned): Scheduled {
  const { tasks, body } = routine;
  const scheduled: Scheduled = {
    kind: "routine",
    packing: routinePacking(routine, aligned),
    shortSlots: [...shortSlots(body)],
    variant: "",
    literals: new Set(),
    size: null,
    shared: nothingShared,
    groups: (size) => groupsFor(tasks, size),
    resized: () => scheduled,
    write: (values, size) => {
      only(values, size, `u32(${values.size(tasks, "tasks")})`);
      writeRoutine(routine, values);
    },
  };
  return scheduled;
}

/** Writes what one invocation, number `invocation` of the tasks, does. */
function writeRoutine({ variables, begin, end, body }: Routine, values: Values): void {
  for (const x of new Set([...variables, begin, end])) {
    values.line(`var ${variable(x)}: ${values.typeOf(x)};`);
    values.bind(x, variable(x));
  }
  values.line(`${variable(begin)} = i32(invocation);`);
  values.line(`${variable(end)} = ${variable(begin)} + 1;`);
  writeStatements(body, values);
}

const variable = (x: Ex): string => `q${x.id}`;
const at = (position: Ex): Index => ({ c: 0, terms: [{ atom: position, coef: 1 }] });

/** Variables change, so what is computed of them lasts for one statement: each is a block. */
function writeStatements(statements: readonly Statement[], values: Values): void {
  for (const s of statements) values.block("", () => writeStatement(s, values));
}

function writeStatement(s: Statement, values: Values): void {
  switch (s.kind) {
    case "set":
      return values.line(`${variable(s.variable)} = ${values.use(s.value)};`);
    case "load":
      return values.line(`${variable(s.variable)} = ${values.element(s.slot, s.storage, at(s.position), null)};`);
    case "store":
      return values.store({ slot: s.slot, storage: s.storage, index: at(s.position), value: s.value, guard: null });
    case "if": {
      const test = values.use(s.test);
      values.block(`if (${test}) `, () => writeStatements(s.then, values));
      if (s.otherwise.length > 0) values.block("else ", () => writeStatements(s.otherwise, values));
      return;
    }
    // Lanes are invocations' affair: here their iterations run one after the other.
    case "lanes":
    case "for": {
      const name = variable(s.variable);
      values.line(`let first = ${values.use(s.from)};`);
      values.line(`let limit = ${values.use(s.to)};`);
      return values.block(`for (${name} = first; ${name} < limit; ${name}++) `, () => writeStatements(s.body, values));
    }
    case "while":
      return values.block("loop ", () => {
        writeStatements(s.condition, values);
        values.block("", () => values.line(`if (!(${values.use(s.test)})) { break; }`));
        writeStatements(s.body, values);
      });
  }
}
