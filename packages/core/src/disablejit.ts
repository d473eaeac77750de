let disabled = false;

/** Whether `jit` and the loops and branches of lax run as plain JavaScript at the moment. */
export function isJitDisabled(): boolean {
  return disabled;
}

/** Switches `jit` off or on, until further notice: the option behind `disableJit`. */
export function setDisableJit(value: boolean): void {
  disabled = value;
}

/**
 * Runs `fn` with `jit` switched off: jitted functions run as they are written, with concrete arguments, and `scan`,
 * `whileLoop`, `cond` and what is made of them run their functions in JavaScript loops and branches. For debugging, because values
 * can be printed and looked at everywhere. A predicate that `vmap` batches, or that a trace does not know, is staged as ever.
 */
export function disableJit<T>(fn: () => T): T {
  const outer = disabled;
  disabled = true;
  try {
    return fn();
  } finally {
    disabled = outer;
  }
}
