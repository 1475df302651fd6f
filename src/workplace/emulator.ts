import { readFile } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createEmulator, type SeedConfig } from 'emulate';

/** One row of an emulator's store. */
export type Row = Record<string, unknown> & { id: number };

/** A table of an emulator's store. */
export interface Collection {
  all(): Row[];
  findBy(field: string, value: unknown): Row[];
  insert(row: Record<string, unknown>): Row;
  update(id: number, change: Record<string, unknown>): Row | undefined;
  delete(id: number): boolean;
}

interface Store {
  collection(name: string): Collection;
  snapshot(): unknown;
  restore(snapshot: unknown): void;
}

/** Who a token stands for, as the emulator keeps it. */
export interface TokenHolder {
  login: string;
  id: number;
  scopes: string[];
  installation?: { installationId: number; repositoryIds: number[]; repositorySelection: 'all' | 'selected' };
}

type Dispatch = (
  event: string,
  action: string | undefined,
  payload: unknown,
  owner: string,
  repo?: string,
) => Promise<void>;

interface Registration {
  app: { fetch(request: Request): Promise<Response>; middleware?: { handlers: unknown[] }[] };
  store: Store;
  webhooks: { dispatch: Dispatch };
  tokenMap: Map<string, TokenHolder>;
}

interface Plugin {
  register(
    app: Registration['app'],
    store: Store,
    webhooks: Registration['webhooks'],
    baseUrl: string,
    tokenMap: Registration['tokenMap'],
  ): void;
}

/** A running emulator, without a port of its own: our front is its only way in. */
export interface Emulator {
  fetch(request: Request): Promise<Response>;
  table(name: string): Collection;
  tokens: Map<string, TokenHolder>;
  snapshot(): unknown;
  restore(snapshot: unknown): void;
}

export interface EmulatorOptions {
  service: 'slack' | 'github';
  /** The front's address; the emulator writes it into the links that it gives out. */
  baseUrl: string;
  seed: SeedConfig;
  /** Receives what the emulator would send to its subscribers; nothing is sent by the emulator itself. */
  dispatch: Dispatch;
}

const testedVersion = '0.12.2';

/**
 * Starts one of emulate's services by its API and takes hold of its store.
 *
 * The API of emulate 0.12.2 keeps no state over a restart for its built-in services and hands out neither store nor
 * webhooks. All of it passes through one call, the service plugin's `register`, so that call is listened to while the
 * service starts. Its own listener is closed again at once, since the service takes any unknown token for its first user.
 */
export async function startEmulator(options: EmulatorOptions): Promise<Emulator> {
  const plugin = await loadPlugin(options.service);
  const register = plugin.register;
  let registration: Registration | undefined;
  plugin.register = (app, store, webhooks, baseUrl, tokenMap) => {
    dropRateLimit(app);
    register.call(plugin, app, store, webhooks, baseUrl, tokenMap);
    webhooks.dispatch = options.dispatch;
    registration = { app, store, webhooks, tokenMap };
  };
  try {
    const { service, baseUrl, seed } = options;
    const running = await createEmulator({ service, port: 0, hostname: '127.0.0.1', baseUrl, seed });
    await running.close();
  } finally {
    plugin.register = register;
  }
  if (!registration) throw new Error(`emulate did not register its ${options.service} service.`);
  const { app, store, tokenMap } = registration;
  return {
    fetch: (request) => app.fetch(request),
    table: (name) => store.collection(`${options.service}.${name}`),
    tokens: tokenMap,
    snapshot: () => store.snapshot(),
    restore: (snapshot) => store.restore(snapshot),
  };
}

/** It counts 5,000 requests per token and hour on Slack as well, and answers 403, which Slack never does. */
function dropRateLimit(app: Registration['app']): void {
  const limits = app.middleware?.findIndex(({ handlers }) =>
    handlers.some((handler) => String(handler).includes('X-RateLimit-Remaining')),
  );
  if (app.middleware && limits !== undefined && limits >= 0) app.middleware.splice(limits, 1);
}

let starting: Promise<unknown> = Promise.resolve();

/** Starts one at a time, since the plugin that is listened to is shared by all in this process. */
export function startEmulatorInTurn(options: EmulatorOptions): Promise<Emulator> {
  const mine = starting.then(() => startEmulator(options));
  starting = mine.catch(() => undefined);
  return mine;
}

async function loadPlugin(service: 'slack' | 'github'): Promise<Plugin> {
  const manifest = findPackageJSON('emulate', import.meta.url);
  if (!manifest) throw new Error('The package emulate is not installed. Run npm install.');
  const { version } = JSON.parse(await readFile(manifest, 'utf8')) as { version: string };
  if (version !== testedVersion) {
    throw new Error(`The workplace needs emulate ${testedVersion}; ${version} is installed.`);
  }
  const folder = join(dirname(manifest), 'dist');
  const api = await readFile(join(folder, 'api.js'), 'utf8');
  // The service's file has a hash in its name; api.js names it where it loads the plugin.
  const loads = new RegExp(
    `import\\("\\./(dist-[\\w-]+\\.js)"\\);\\s+return \\{\\s+plugin: mod\\.${service}Plugin`,
  );
  const file = loads.exec(api)?.[1];
  if (!file) throw new Error(`emulate ${version} has no ${service} service where it is looked for.`);
  const exported: Record<string, unknown> = await import(pathToFileURL(join(folder, file)).href);
  return exported[`${service}Plugin`] as Plugin;
}
