import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { and, eq } from 'drizzle-orm';
import { Logger, type Runner, run } from 'graphile-worker';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import {
  createInternalServer,
  type InternalLimits,
  type InternalServer,
} from '../../src/outbound/internal.ts';
import { createSendJob } from '../../src/outbound/send.ts';
import { sessionPort } from '../../src/sessions/session-port.ts';
import type { Jobs } from '../../src/store/jobs.ts';
import { actions, type Grant } from '../../src/store/schema.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Cloud, cloudAdapters } from './cloud.ts';
import { createStage, type Stage, silent, TestClock } from './stage.ts';

/** What an HTTP request on the socket came to. */
export interface Answer {
  status: number;
  headers: Record<string, unknown>;
  text: string;
}

export interface InternalHarness {
  test(): TestDatabase;
  clock(): TestClock;
  /** What the provider says of people and places, whichever session asks. */
  facts(): Cloud;
  socketPath(): string;
  serve(limits?: Partial<InternalLimits>): Promise<void>;
  /** A server of another worker, not listening yet. */
  another(): InternalServer;
  stageWith(capabilities?: Record<string, Grant>): Promise<Stage>;
  raw(method: string, path: string, headers: Record<string, string>, body?: string): Promise<Answer>;
  /** The SDK's own client, over the socket, as the session that the egress process stamps. */
  connectTo(sessionId: string, provider?: string): Promise<Client>;
  /** The actions of a session, oldest first. */
  recorded(stage: Stage): Promise<(typeof actions.$inferSelect)[]>;
}

/** The internal server on a Unix socket, with a real job runner that sends what is submitted. */
export function setUpInternalServer(): InternalHarness {
  let test: TestDatabase;
  let runner: Runner;
  let folder: string;
  let socketPath: string;
  let server: InternalServer | undefined;
  let clock: TestClock;
  const facts = new Cloud();
  const clients: Client[] = [];
  /** The cloud of each stage, by the installation that asks. */
  const clouds = new Map<string, Cloud>();
  const platformFetch = (principal: { organizationId: string; installationId: string }) =>
    (clouds.get(principal.installationId) ?? new Cloud()).platformFetch(principal);

  beforeAll(async () => {
    test = await createTestDatabase();
    folder = mkdtempSync(join(tmpdir(), 'tagalong-internal-'));
    socketPath = join(folder, 'internal.sock');
    const send = createSendJob({
      database: test.database,
      sessions: sessionPort,
      adapters: cloudAdapters(facts),
      platformFetch,
      workerId: 'worker_a',
      clock: () => new Date(),
      logger: silent,
    });
    runner = await run({
      connectionString: test.url,
      concurrency: 4,
      noHandleSignals: true,
      logger: new Logger(() => () => {}),
      taskList: { send: (payload) => send(payload as Jobs['send']) },
    });
  });
  afterAll(async () => {
    await runner.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    clock = new TestClock();
    facts.reset();
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.close();
    await server?.close();
    server = undefined;
  });

  const create = (workerId: string, limits: Partial<InternalLimits>) =>
    createInternalServer({
      database: test.database,
      databaseUrl: test.url,
      adapters: cloudAdapters(facts),
      platformFetch,
      workerId,
      clock: clock.read,
      sessions: sessionPort,
      logger: silent,
      limits,
    });
  const serve = async (limits: Partial<InternalLimits> = {}) => {
    server = create('worker_a', limits);
    await server.listen(socketPath);
  };
  const stageWith = async (capabilities: Record<string, Grant> = {}) => {
    const stage = await createStage(test.database, { capabilities });
    clouds.set(stage.installationId, stage.cloud);
    return stage;
  };

  const raw = (
    method: string,
    path: string,
    headers: Record<string, string>,
    body?: string,
  ): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const request = httpRequest({ socketPath, method, path, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(chunks).toString(),
          }),
        );
      });
      request.on('error', reject);
      request.end(body);
    });
  const socketFetch: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    const headers = Object.fromEntries(request.headers);
    const path = new URL(request.url).pathname;
    const answer = await raw(request.method, path, headers, await request.text());
    const empty = answer.status === 202 || answer.status === 204;
    return new Response(empty ? null : answer.text, {
      status: answer.status,
      headers: { 'content-type': String(answer.headers['content-type'] ?? 'text/plain') },
    });
  };
  const connectTo = async (sessionId: string, provider = 'slack') => {
    const client = new Client({ name: 'test', version: '1' });
    const transport = new StreamableHTTPClientTransport(new URL(`http://tagalong.internal/mcp/${provider}`), {
      fetch: socketFetch,
      requestInit: { headers: { 'x-tagalong-session': sessionId } },
    });
    await client.connect(transport);
    clients.push(client);
    return client;
  };
  const recorded = (stage: Stage) =>
    test.database
      .select()
      .from(actions)
      .where(and(eq(actions.sessionId, stage.sessionId), eq(actions.organizationId, stage.organizationId)))
      .orderBy(actions.createdAt);
  return {
    test: () => test,
    clock: () => clock,
    facts: () => facts,
    socketPath: () => socketPath,
    serve,
    another: () => create('worker_b', {}),
    stageWith,
    raw,
    connectTo,
    recorded,
  };
}

/** One `tools/call`, as text. */
export const call = async (client: Client, name: string, input: Record<string, unknown>) => {
  const result = await client.callTool({ name, arguments: input });
  const content = result.content as { type: string; text: string }[];
  return { isError: result.isError ?? false, text: content.map((each) => each.text).join('\n') };
};

export const rpc = (method: string, params: unknown = {}) =>
  JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
export const rpcHeaders = (sessionId: string) => ({
  'x-tagalong-session': sessionId,
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
});
