let scopes = "";

/** Names the equations staged inside `fn`, as `outer/inner`, in messages and profiles. */
export function namedScope<T>(name: string, fn: () => T): T {
  const outer = scopes;
  scopes = outer === "" ? name : `${outer}/${name}`;
  try {
    return fn();
  } finally {
    scopes = outer;
  }
}

export function namedScopes(): string {
  return scopes;
}
