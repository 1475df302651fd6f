/** What Postgres said of a failed statement: its SQLSTATE, and the table where it names one. */
export interface SqlError {
  code: string;
  table: string | undefined;
}

/** Finds it behind what Drizzle and others wrap around it; undefined for errors that are not the database's word. */
export function sqlErrorOf(error: unknown): SqlError | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code, table } = at as { code?: unknown; table?: unknown };
    if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) {
      return { code, table: typeof table === 'string' ? table : undefined };
    }
  }
  return undefined;
}
