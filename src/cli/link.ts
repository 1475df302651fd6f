import type { Config } from '../config.ts';
import { createLoginLink, ensureOrganization } from '../gateway/access.ts';
import { withRunningDatabase } from './running-database.ts';

/** Prints a new one-time link that opens the console of the running server. Answers the exit code. */
export function link(config: Config): Promise<number> {
  return withRunningDatabase(config, async (database) => {
    const token = await createLoginLink(database, await ensureOrganization(database));
    process.stdout.write(`${config.baseUrl}/open/${token}\n`);
    return 0;
  });
}
