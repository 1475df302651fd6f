import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import * as schema from './schema.ts';

export type Schema = typeof schema;
/** Queries under the owner role. What belongs to one organization goes through `withOrganization` instead. */
export type Database = NodePgDatabase<Schema> & { $client: pg.Pool };
/** Queries inside `withOrganization`: the application role, one organization, one transaction. */
export type Transaction = Parameters<Parameters<Database['transaction']>[0]>[0];

export interface ConnectionOptions {
  url: string;
  maxConnections?: number;
  /** Shown in `pg_stat_activity`. */
  applicationName?: string;
  /** Called when an idle connection breaks; the pool replaces it by itself. */
  onError?: (error: Error) => void;
}

/** Opens a pool. Nothing is connected until the first query. End it with `database.$client.end()`. */
export function connect(options: ConnectionOptions): Database {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.maxConnections ?? 10,
    application_name: options.applicationName ?? 'tagalong',
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 60_000,
  });
  pool.on('error', options.onError ?? (() => {}));
  return drizzle(pool, { schema });
}
