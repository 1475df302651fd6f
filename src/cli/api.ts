import { and, eq } from 'drizzle-orm';
import type { Config } from '../config.ts';
import { createApiKey, ensureOrganization } from '../gateway/access.ts';
import { connect } from '../store/connection.ts';
import { findEmbeddedPostgres } from '../store/embedded.ts';
import { openHome } from '../store/home.ts';
import { apiKeys } from '../store/schema.ts';

/** The running server's REST API, as the command line uses it. */
export interface Api {
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body?: unknown): Promise<T>;
  /** Takes back the key that was made for this command. */
  close(): Promise<void>;
}

/** The server refused, in its own words. */
export class ApiRefusal extends Error {
  override name = 'ApiRefusal';
}

/**
 * Opens the API of the server that runs on this home or database: with `TAGALONG_API_KEY` where that is set, else with
 * a key that is made for this command and revoked when it ends. Undefined where no server runs.
 */
export async function openApi(config: Config, baseUrl = config.baseUrl): Promise<Api | undefined> {
  if (config.apiKey !== undefined) return apiWith(baseUrl, config.apiKey, async () => {});
  const url = config.databaseUrl ?? (await findEmbeddedPostgres(openHome(config.home)))?.url;
  if (url === undefined) return undefined;
  const database = connect({ url, maxConnections: 1 });
  const organizationId = await ensureOrganization(database);
  const name = `command line ${process.pid} ${Date.now()}`;
  const key = await createApiKey(database, organizationId, name);
  return apiWith(baseUrl, key, async () => {
    await database
      .delete(apiKeys)
      .where(and(eq(apiKeys.organizationId, organizationId), eq(apiKeys.name, name)));
    await database.$client.end();
  });
}

function apiWith(baseUrl: string, key: string, close: () => Promise<void>): Api {
  const call = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    let response: Response;
    try {
      response = await fetch(new URL(path, baseUrl), {
        method,
        headers: { 'x-api-key': key, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch {
      throw new ApiRefusal(
        `No server answers at ${baseUrl}. Start it with npm start; where it has another address, set TAGALONG_BASE_URL or PORT.`,
      );
    }
    const answer = (await response.json().catch(() => ({}))) as { error?: { message?: string } };
    if (response.ok) return answer as T;
    throw new ApiRefusal(answer.error?.message ?? `The server answered ${response.status}.`);
  };
  return {
    get: (path) => call('GET', path),
    post: (path, body = {}) => call('POST', path, body),
    close,
  };
}
