import { fileURLToPath } from 'node:url';
import { migrate as runDrizzleMigrations } from 'drizzle-orm/node-postgres/migrator';
import { runMigrations as runWorkerMigrations } from 'graphile-worker';
import pg from 'pg';
import { connect } from './connection.ts';

const migrationsFolder = fileURLToPath(new URL('../../migrations', import.meta.url));
/** Any number, the same for all: two processes that start at once migrate one after the other. */
const advisoryLock = 7_261_900;

/** Brings the database to this version: our tables, then the job tables. Safe to run twice and at once. */
export async function migrate(url: string): Promise<void> {
  const guard = new pg.Client({ connectionString: url });
  await guard.connect();
  try {
    await guard.query('select pg_advisory_lock($1)', [advisoryLock]);
    await runWorkerMigrations({ connectionString: url });
    const database = connect({ url, maxConnections: 1 });
    try {
      await runDrizzleMigrations(database, { migrationsFolder });
    } finally {
      await database.$client.end();
    }
  } finally {
    await guard.end();
  }
}

/** How many of our migrations are in the database and how many there should be; for `doctor`. */
export async function migrationStatus(url: string): Promise<{ applied: number; expected: number }> {
  const { default: journal } = await import('../../migrations/meta/_journal.json', {
    with: { type: 'json' },
  });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const found = await client.query<{ present: string | null }>(
      `select to_regclass('drizzle.__drizzle_migrations')::text as present`,
    );
    if (!found.rows[0]?.present) return { applied: 0, expected: journal.entries.length };
    const count = await client.query<{ applied: number }>(
      'select count(*)::int as applied from drizzle.__drizzle_migrations',
    );
    return { applied: count.rows[0]?.applied ?? 0, expected: journal.entries.length };
  } finally {
    await client.end();
  }
}
