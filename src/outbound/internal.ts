import { chmodSync, unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { privateHeaders } from '../vault/egress/protocol.ts';
import type { SessionPort } from './approvals/session-port.ts';
import { findCaller } from './caller.ts';
import type { OutboundDependencies } from './dependencies.ts';
import { serveMcp } from './mcp.ts';
import { createRateLimit } from './rate.ts';
import { answerDoor, doorQuestion } from './second-door.ts';
import { createSettlements } from './settlements.ts';
import { type CallLimits, callLimits } from './tool-call.ts';

export interface InternalDependencies extends OutboundDependencies {
  /** For listening to what was sent. */
  databaseUrl: string;
  /** The same as in the leases of this process's sessions: only their turns may act here. */
  workerId: string;
  clock: () => Date;
  sessions: Pick<SessionPort, 'record'>;
  limits?: Partial<InternalLimits>;
}

export interface InternalLimits extends CallLimits {
  maxBodyBytes: number;
  callsPerMinute: number;
  requestsPerMinute: number;
}

export const internalLimits: InternalLimits = {
  ...callLimits,
  maxBodyBytes: 4 * 1024 * 1024,
  callsPerMinute: 120,
  requestsPerMinute: 600,
};

export interface InternalServer {
  /** Opens the Unix socket (mode 0600) in a folder that only this user can enter; replaces one that nobody serves. */
  listen(socketPath: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * What `tagalong.internal` is inside a sandbox: `POST /mcp/{provider}`. The egress process passes requests on and stamps
 * the session's id on them, which is the only identity there is.
 */
export function createInternalServer(dependencies: InternalDependencies): InternalServer {
  const limits = { ...internalLimits, ...dependencies.limits };
  const { database, clock, logger } = dependencies;
  const settlements = createSettlements(database, dependencies.databaseUrl);
  const calls = createRateLimit(limits.callsPerMinute, clock);
  const requests = createRateLimit(limits.requestsPerMinute, clock);
  const mcp = { ...dependencies, limits, settlements, calls };

  const answerQuestion = async (request: IncomingMessage, response: ServerResponse, sessionId: string) => {
    const body = await readJson(request, limits.maxBodyBytes);
    const question = doorQuestion.safeParse(body.ok ? body.value : undefined);
    if (!question.success) return refuse(response, 400, 'This is no question that the second door has.');
    const answer = await answerDoor(dependencies, sessionId, question.data);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer));
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = new URL(request.url ?? '/', 'http://tagalong.internal').pathname;
    const provider = /^\/mcp\/([a-z]+)$/.exec(path)?.[1];
    const sessionId = request.headers[privateHeaders.session];
    // A sandbox cannot send this header: what it says under our names is taken off.
    const asksDoor = path === '/door' && request.headers[privateHeaders.door] === '1';
    if ((!provider && !asksDoor) || typeof sessionId !== 'string') {
      return refuse(response, 404, 'There is nothing here.');
    }
    if (request.method !== 'POST') {
      response.setHeader('allow', 'POST');
      return refuse(response, 405, 'Only POST is served here.');
    }
    if (request.headers.origin !== undefined) return refuse(response, 403, 'Web pages may not call this.');
    if (!provider) return answerQuestion(request, response, sessionId);
    const waitMs = requests.take(sessionId);
    if (waitMs !== undefined) {
      response.setHeader('retry-after', String(Math.ceil(waitMs / 1_000)));
      return refuse(response, 429, 'Too many requests.');
    }
    const body = await readJson(request, limits.maxBodyBytes);
    if (!body.ok) return refuse(response, body.status, body.message, body.code);
    const caller = await findCaller(database, sessionId, provider);
    if (!caller) return refuse(response, 404, 'There is nothing here.');
    await serveMcp(mcp, caller, request, response, body.value);
  };

  const server = createServer({ requestTimeout: 30_000, keepAliveTimeout: 60_000 }, (request, response) => {
    handle(request, response).catch((error: unknown) => {
      const message = error instanceof Error ? error.message.slice(0, 300) : 'unknown';
      logger.error({ message }, 'an internal request failed');
      if (response.headersSent) response.destroy();
      else refuse(response, 503, 'Not available now; try again in a moment.');
    });
  });

  return {
    listen: (socketPath) => listenOn(server, socketPath),
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      settlements.close();
    },
  };
}

/** An error in the shape of JSON-RPC, which is what every caller here expects. */
function refuse(response: ServerResponse, status: number, message: string, code = -32000): void {
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify({ jsonrpc: '2.0', error: { code, message }, id: null }));
}

type Body = { ok: true; value: unknown } | { ok: false; status: number; message: string; code?: number };

async function readJson(request: IncomingMessage, maxBytes: number): Promise<Body> {
  const tooLarge = { ok: false, status: 413, message: `The body is larger than ${maxBytes} bytes.` } as const;
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    return { ok: false, status: 415, message: 'Encoded bodies are not read here.' };
  }
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return tooLarge;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += (chunk as Buffer).length;
    if (size > maxBytes) return tooLarge;
    chunks.push(chunk as Buffer);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    if (!Array.isArray(value)) return { ok: true, value };
    return { ok: false, status: 400, message: 'Send one message at a time.', code: -32600 };
  } catch {
    return { ok: false, status: 400, message: 'The body is not JSON.', code: -32700 };
  }
}

async function listenOn(server: Server, socketPath: string): Promise<void> {
  if (await isServed(socketPath))
    throw new Error(`Another process serves ${socketPath}. Stop it, or use another home.`);
  try {
    unlinkSync(socketPath);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
  chmodSync(socketPath, 0o600);
}

function isServed(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
