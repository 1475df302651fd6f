import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { ModelVendor } from './agents/profiles/names.ts';
import type { Config } from './config.ts';
import {
  createApiKey,
  createLoginLink,
  ensureApiKey,
  ensureOrganization,
  hasApiKey,
} from './gateway/access.ts';
import { createGatewaySecrets } from './gateway/secrets.ts';
import { type Publishing, startGatewayRole } from './gateway-role.ts';
import { adapters } from './providers/index.ts';
import { realPages } from './providers/pages.ts';
import { connect } from './store/connection.ts';
import { hasEmbeddedData, startEmbeddedPostgres } from './store/embedded.ts';
import { type Home, openHome } from './store/home.ts';
import { lockHome } from './store/home-lock.ts';
import { migrate } from './store/migrate.ts';
import { configuredUpstreams } from './vault/egress/configured-upstreams.ts';
import { startEgress } from './vault/egress/control.ts';
import { readCeiling, withOwnUpstreams } from './vault/egress/operator-settings.ts';
import { readRemoteListener } from './vault/egress/remote-listener.ts';
import { deriveStateKey, deriveWebhookKey } from './vault/keys.ts';
import { loadPreviousRootKey, loadRootKey } from './vault/root-key.ts';
import { startWorkerRole } from './worker-role.ts';
import type { WorkplaceHandle } from './workplace/client.ts';
import { expectsWorkplace, openWorkplace, startWorkplaceRole, wantsWorkplace } from './workplace-role.ts';

/** A running server. */
export interface Server {
  baseUrl: string;
  /** Opens the console once. */
  link: string;
  /** The first API key, at the first start only. */
  apiKey: string | undefined;
  /** Whether the emulated workplace runs, and whether the offline model answers in it. */
  workplace: { offlineModel: boolean } | undefined;
  /** Stops all that it started. Running turns are interrupted and resumed at the next start. */
  stop(): Promise<void>;
}

/**
 * Starts the roles that the configuration names, with what they need: the embedded Postgres where no other is named,
 * the egress process, the emulated workplace while nothing (or only it) is published. When a step fails, all that was
 * started before it is stopped again.
 */
export async function startServer(config: Config, logger: Logger): Promise<Server> {
  const stops: (() => unknown)[] = [];
  const stop = async () => {
    for (const each of stops.splice(0).reverse()) {
      await Promise.resolve(each()).catch((error: unknown) =>
        logger.error({ err: error }, 'a part did not stop'),
      );
    }
  };
  try {
    return await compose(config, logger, stops, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function compose(
  config: Config,
  logger: Logger,
  stops: (() => unknown)[],
  stop: () => Promise<void>,
): Promise<Server> {
  // Before anything is started: a bound that cannot be understood is a reason not to start.
  readCeiling(config.allowedHosts);
  withOwnUpstreams([], config.upstreams);
  const home = openHome(config.home);
  stops.push(lockHome(home));
  const hasData = config.databaseUrl === undefined && hasEmbeddedData(home);
  const rootKey = loadRootKey(home, config.rootKey, hasData);
  const previousRootKey = loadPreviousRootKey(home, config);
  const early = expectsWorkplace(config, home, hasData) ? startWorkplaceRole(config, home) : undefined;
  // Its failure is told where it is awaited; it stops after all that calls it.
  early?.catch(() => {});
  stops.push(async () => (await early?.catch(() => undefined))?.stop());
  const databaseUrl = config.databaseUrl ?? (await embedded(home, stops));
  await migrate(databaseUrl);
  const onError = (error: Error) => logger.warn({ err: error }, 'a database connection broke');
  const database = connect({ url: databaseUrl, maxConnections: 20, onError });
  stops.push(() => database.$client.end());

  const organizationId = await ensureOrganization(database);
  const firstStart = !(await hasApiKey(database, organizationId));
  if (config.apiKey !== undefined) await ensureApiKey(database, organizationId, config.apiKey);
  const workplace = (await wantsWorkplace(config, database))
    ? await (early ?? startWorkplaceRole(config, home))
    : undefined;
  if (workplace && !early) stops.push(() => workplace.stop());
  if (!workplace) await (await early)?.stop();

  const sockets = mkdtempSync(join(tmpdir(), 'tagalong-'));
  stops.push(() => rmSync(sockets, { recursive: true, force: true }));
  const internalSocket = join(sockets, 'internal.sock');
  const offlineUrl = workplace?.upstreams.modelUrl;
  const egress = await startEgress({
    logger,
    start: {
      databaseUrl,
      rootKey: Buffer.from(rootKey).toString('base64url'),
      ...given('previousRootKey', previousRootKey && Buffer.from(previousRootKey).toString('base64url')),
      upstreams: withOwnUpstreams(
        configuredUpstreams(config.vendors, workplace && vendorUrls(workplace), {
          anthropic: offlineUrl ?? config.models.anthropic.baseUrl,
          google: config.models.google.baseUrl,
          openai: offlineUrl === undefined ? config.models.openai.baseUrl : `${offlineUrl}/v1`,
        }),
        config.upstreams,
      ),
      ...(config.allowedHosts ? { allowedHosts: config.allowedHosts } : {}),
      extraAuthorities: config.extraAuthorities,
      modelCredentials: {
        ...given('anthropic', offlineUrl ? workplace?.modelApiKey : config.models.anthropic.apiKey),
        ...given('google', config.models.google.apiKey),
        ...given('openai', offlineUrl ? workplace?.modelApiKey : config.models.openai.apiKey),
      },
      platformSocket: join(sockets, 'platform.sock'),
      internalSocket,
      ...(config.remoteProxy ? { remote: readRemoteListener(config.remoteProxy) } : {}),
      limits: config.egress,
    },
  });
  stops.push(() => egress.stop());
  await egress.sealingKey(organizationId);
  const secrets = createGatewaySecrets(
    deriveWebhookKey(rootKey),
    deriveStateKey(rootKey),
    previousRootKey ? [deriveWebhookKey(previousRootKey)] : [],
  );
  rootKey.fill(0);
  previousRootKey?.fill(0);

  const clock = () => new Date();
  const platformFetch = egress.platformFetch.bind(egress);
  if (config.roles.includes('worker')) {
    stops.push(
      await startWorkerRole({
        config,
        home,
        databaseUrl,
        database,
        egress,
        internalSocket,
        modelVendors: modelVendors(config, offlineUrl !== undefined),
        logger,
        clock,
      }),
    );
  }

  const publishing: Publishing = {
    database,
    adapters,
    secrets,
    platformFetch,
    clock,
    logger,
    config: {
      baseUrl: config.baseUrl,
      pages: {
        real: realPages(config.vendors.github),
        ...(workplace ? { emulated: workplacePages(workplace) } : {}),
      },
    },
  };
  if (config.roles.includes('gateway')) {
    const gateway = await startGatewayRole({ config, databaseUrl, publishing, workplace });
    stops.push(gateway.stop);
    if (config.port === 0) publishing.config.baseUrl = config.baseUrl.replace(/:0$/, `:${gateway.port}`);
  }
  const { baseUrl } = publishing.config;
  if (workplace) await openWorkplace(workplace, publishing, organizationId, config);

  return {
    baseUrl,
    link: `${baseUrl}/open/${await createLoginLink(database, organizationId)}`,
    apiKey:
      firstStart && config.apiKey === undefined
        ? await createApiKey(database, organizationId, 'first')
        : undefined,
    workplace: workplace ? { offlineModel: workplace.upstreams.modelUrl !== undefined } : undefined,
    stop,
  };
}

async function embedded(home: Home, stops: (() => unknown)[]): Promise<string> {
  const postgres = await startEmbeddedPostgres(home);
  stops.push(() => postgres.stop());
  return postgres.url;
}

function given<Name extends string>(name: Name, value: string | undefined): { [Key in Name]?: string } {
  return value === undefined ? {} : ({ [name]: value } as { [Key in Name]: string });
}

/** The offline model stands for those whose wires it speaks. */
function modelVendors({ models }: Config, isOffline: boolean): ModelVendor[] {
  return (Object.keys(models) as ModelVendor[]).filter(
    (vendor) =>
      models[vendor].apiKey !== undefined ||
      models[vendor].baseUrl !== undefined ||
      (isOffline && vendor !== 'google'),
  );
}

/** The workplace serves its vendors' pages where it serves their APIs. */
function workplacePages({ upstreams }: WorkplaceHandle) {
  const at = (url: string) => ({ apps: new URL(url).origin, web: new URL(url).origin });
  return {
    slack: at(upstreams.slackApiUrl),
    github: at(upstreams.githubApiUrl),
    linear: at(upstreams.linearApiUrl),
  };
}

function vendorUrls({ upstreams }: WorkplaceHandle) {
  return { slack: upstreams.slackApiUrl, github: upstreams.githubApiUrl, linear: upstreams.linearApiUrl };
}
