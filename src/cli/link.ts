import type { Config } from '../config.ts';
import { createLoginLink, ensureOrganization } from '../gateway/access.ts';
import { connect } from '../store/connection.ts';
import { findEmbeddedPostgres } from '../store/embedded.ts';
import { findHome } from '../store/home.ts';

/** Prints a new one-time link that opens the console of the running server. Answers the exit code. */
export async function link(config: Config): Promise<number> {
  const home = findHome(config.home);
  const url = config.databaseUrl ?? (home && (await findEmbeddedPostgres(home))?.url);
  if (url === undefined) {
    process.stderr.write(`Tagalong does not run on ${config.home}. Start it with: npm start\n`);
    return 1;
  }
  const database = connect({ url, maxConnections: 1 });
  try {
    const token = await createLoginLink(database, await ensureOrganization(database));
    process.stdout.write(`${config.baseUrl}/open/${token}\n`);
    return 0;
  } finally {
    await database.$client.end();
  }
}
