import { createHmac, randomBytes } from 'node:crypto';
import { request } from 'node:http';
import pino from 'pino';
import { createApiKey } from '../../src/gateway/access.ts';
import type { GatewayDeps } from '../../src/gateway/deps.ts';
import { createGatewaySecrets, webhookSecretBinding } from '../../src/gateway/secrets.ts';
import {
  createGateway,
  type Gateway,
  type ListeningGateway,
  listenGateway,
} from '../../src/gateway/server.ts';
import { ignoreReasons } from '../../src/providers/ignore-reasons.ts';
import { adapters } from '../../src/providers/index.ts';
import type { Database } from '../../src/store/connection.ts';
import { newId } from '../../src/store/ids.ts';
import { connectInbox } from '../../src/store/inbox.ts';
import {
  organizations,
  type ProviderName,
  type PublicationState,
  publications,
  webhookSecrets,
} from '../../src/store/schema.ts';
import { deriveStateKey, deriveWebhookKey, organizationPublicKey } from '../../src/vault/keys.ts';
import { createFixture } from '../support/fixture.ts';

export const rootKey = randomBytes(32);
export const secrets = createGatewaySecrets(deriveWebhookKey(rootKey), deriveStateKey(rootKey));
export const silent = pino({ level: 'silent' });

export interface TestGateway {
  url: string;
  port: number;
  gateway: Gateway;
  database: Database;
  organizationId: string;
  agentId: string;
  apiKey: string;
  /** A request to the API with the key; answers status and parsed body. */
  api(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: Record<string, unknown> }>;
  close(): Promise<void>;
}

/** A gateway over real HTTP on a free port, with the real adapters and real sealing, and one organization. */
export async function startTestGateway(
  test: { url: string; database: Database },
  overrides: Partial<GatewayDeps> & { requestTimeoutMs?: number } = {},
): Promise<TestGateway> {
  const { requestTimeoutMs, ...deps } = overrides;
  const { database } = test;
  const { organizationId, agentId } = await createFixture(database);
  await database
    .update(organizations)
    .set({ sealingPublicKey: { ...organizationPublicKey(rootKey, organizationId) } });
  const apiKey = await createApiKey(database, organizationId, 'test');
  const inbox = deps.inbox ?? connectInbox(test.url);
  const gateway = createGateway({
    database,
    databaseUrl: test.url,
    inbox,
    adapters,
    ignoreReasons,
    secrets,
    platformFetch: () => () => Promise.reject(new Error('no egress process in this test')),
    config: { baseUrl: 'https://tagalong.example.com' },
    consoleFolder: undefined,
    clock: () => new Date(),
    logger: silent,
    ...deps,
  });
  const listening: ListeningGateway = await listenGateway(gateway, {
    host: '127.0.0.1',
    port: 0,
    ...(requestTimeoutMs === undefined ? {} : { requestTimeoutMs }),
  });
  const url = `http://127.0.0.1:${listening.port}`;
  return {
    url,
    port: listening.port,
    gateway,
    database,
    organizationId,
    agentId,
    apiKey,
    async api(method, path, body) {
      const answer = await fetch(`${url}${path}`, {
        method,
        headers: { 'x-api-key': apiKey, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    },
    async close() {
      await listening.close(100);
      if (!deps.inbox) await inbox.end();
    },
  };
}

export interface TestPublication {
  id: string;
  path: string;
  secret: string;
}

/** A publication with one signing secret, sealed as the gateway would. */
export async function addPublication(
  { database, organizationId, agentId }: Pick<TestGateway, 'database' | 'organizationId' | 'agentId'>,
  provider: ProviderName,
  state: PublicationState = 'live',
  extra: { emulated?: boolean } = {},
): Promise<TestPublication> {
  const id = newId('pub');
  await database.insert(publications).values({ id, organizationId, agentId, provider, state, ...extra });
  const secret = await addSecret(database, organizationId, id);
  return { id, path: `/webhooks/${provider}/${id}`, secret };
}

export async function addSecret(
  database: Database,
  organizationId: string,
  publicationId: string,
  expiresAt?: Date,
): Promise<string> {
  const secret = randomBytes(16).toString('hex');
  const id = newId('secret');
  const sealed = await secrets.sealWebhookSecret(webhookSecretBinding(organizationId, id), secret);
  await database
    .insert(webhookSecrets)
    .values({ id, organizationId, publicationId, sealed, ...(expiresAt ? { expiresAt } : {}) });
  return secret;
}

const hmac = (secret: string, ...parts: (string | Buffer)[]) => {
  const mac = createHmac('sha256', secret);
  for (const part of parts) mac.update(part);
  return mac.digest('hex');
};

export interface SignedRequest {
  headers: Record<string, string>;
  body: string | Buffer;
}

let counter = 0;
export const uniqueId = (prefix = 'Ev') => `${prefix}${process.pid}x${counter++}`;

/** A mention as Slack sends it, signed at `at`. */
export function slackMention(
  secret: string,
  event: Record<string, unknown> = {},
  at = new Date(),
): SignedRequest {
  return signSlack(
    secret,
    JSON.stringify({
      type: 'event_callback',
      team_id: 'T1',
      event_id: uniqueId(),
      event: { type: 'app_mention', user: 'U1', text: '<@UBOT> hello', ts: `17.${counter}`, channel: 'C1' },
      ...event,
    }),
    at,
  );
}

export function signSlack(secret: string, body: string | Buffer, at = new Date()): SignedRequest {
  const timestamp = String(Math.floor(at.getTime() / 1000));
  return {
    headers: {
      'content-type': 'application/json',
      'x-slack-request-timestamp': timestamp,
      'x-slack-signature': `v0=${hmac(secret, `v0:${timestamp}:`, body)}`,
    },
    body,
  };
}

export function signGithub(
  secret: string,
  body: string | Buffer,
  delivery = uniqueId('guid-'),
): SignedRequest {
  return {
    headers: {
      'content-type': 'application/json',
      'x-github-event': 'issues',
      'x-github-delivery': delivery,
      'x-hub-signature-256': `sha256=${hmac(secret, body)}`,
    },
    body,
  };
}

export function signLinear(
  secret: string,
  fields: Record<string, unknown>,
  delivery = uniqueId('linear-'),
  at = new Date(),
): SignedRequest {
  const body = JSON.stringify({ type: 'AgentSessionEvent', ...fields, webhookTimestamp: at.getTime() });
  return {
    headers: {
      'content-type': 'application/json',
      'linear-event': 'AgentSessionEvent',
      'linear-delivery': delivery,
      'linear-signature': hmac(secret, body),
    },
    body,
  };
}

export interface RawAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

/** One request with every header as given, `host` included, which fetch would not send. */
export function send(
  port: number,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        path,
        method: options.method ?? 'POST',
        headers: { ...options.headers },
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            body: Buffer.concat(chunks).toString(),
          }),
        );
        answer.on('error', reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(options.body);
  });
}
