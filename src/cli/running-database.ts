import type { Config } from '../config.ts';
import { connect, type Database } from '../store/connection.ts';
import { findEmbeddedPostgres } from '../store/embedded.ts';
import { findHome } from '../store/home.ts';

/**
 * Does something with the database of the running server and answers its exit code; where none runs, says so and
 * answers 1. Makes nothing.
 */
export async function withRunningDatabase(
  config: Config,
  work: (database: Database) => Promise<number>,
): Promise<number> {
  const home = findHome(config.home);
  const url = config.databaseUrl ?? (home && (await findEmbeddedPostgres(home))?.url);
  if (url === undefined) {
    process.stderr.write(`Tagalong does not run on ${config.home}. Start it with: npm start\n`);
    return 1;
  }
  const database = connect({ url, maxConnections: 1 });
  try {
    return await work(database);
  } finally {
    await database.$client.end();
  }
}
