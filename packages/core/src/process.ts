/** The place of this process among those of one program: what `@traceform/distributed` sets. */
let place = { index: 0, count: 1 };

/** Says which of how many processes this one is. For packages that start several. */
export function provideProcess(index: number, count: number): void {
  place = { index, count };
}

/** The number of this process among those that run the program together; 0 unless there are several. */
export function processIndex(): number {
  return place.index;
}

/** How many processes run the program together. */
export function processCount(): number {
  return place.count;
}
