import { type IncomingMessage, request as sendRequest } from 'node:http';
import type { Socket } from 'node:net';
import { type Duplex, Transform } from 'node:stream';
import { forwardedRequestHeaders, forwardedResponseHeaders } from './header-rules.ts';
import { headerValues } from './http1-head.ts';
import { endWith } from './last-words.ts';
import { searchOf } from './outbound-search.ts';
import type { EgressParts, RecordStart } from './parts.ts';
import { recordRefusal } from './parts.ts';
import type { Passage } from './pass-on.ts';
import type { Redaction } from './redaction.ts';
import { failed, malformed, RefusedError, rawRefusal, refuse } from './refusal.ts';
import { closed, pour, relay } from './relay.ts';
import type { RequestHead } from './request-gate.ts';
import type { UpstreamPools } from './upstream-pools.ts';
import { FrameFilter } from './websocket-frames.ts';

/** The upstream's answer to the request must begin within this time. */
const answerTimeoutMs = 30_000;

const outbound = refuse('secret.outbound', 'The WebSocket carried a secret that is not for it.');

/** Whether a request asks for a WebSocket in the one proper way (RFC 6455, section 4.2.1). */
export function isWebSocketRequest({ method, rawHeaders }: RequestHead): boolean {
  const one = (name: string) => {
    const values = headerValues(rawHeaders, name);
    return values.length === 1 ? (values[0] ?? '') : '';
  };
  const connection = headerValues(rawHeaders, 'connection').flatMap((value) => value.split(','));
  return (
    method === 'GET' &&
    one('upgrade').toLowerCase() === 'websocket' &&
    connection.some((option) => option.trim().toLowerCase() === 'upgrade') &&
    /^[A-Za-z0-9+/]{22}==$/.test(one('sec-websocket-key')) &&
    one('sec-websocket-version') === '13' &&
    headerValues(rawHeaders, 'content-length').length === 0 &&
    headerValues(rawHeaders, 'transfer-encoding').length === 0
  );
}

/** The headers of a WebSocket request as they go on, before a credential is put on. */
export function webSocketHeaders(rawHeaders: readonly string[], authority: string): string[] {
  const kept = forwardedRequestHeaders(rawHeaders);
  return [...kept, 'host', authority, 'connection', 'Upgrade', 'upgrade', 'websocket'];
}

/**
 * Asks the upstream for a WebSocket, gives its answer back whatever it is, and then passes bytes both ways until one
 * side ends. Never rejects; records at the end.
 */
export async function relayWebSocket(
  parts: EgressParts,
  start: RecordStart,
  pools: UpstreamPools,
  passage: Passage,
  client: Socket,
  head: Buffer,
): Promise<void> {
  const bytes = { up: 0, down: 0 };
  try {
    const search = await searches(parts, start.organizationId, passage);
    const status = await exchange(pools, passage, client, head, bytes, search);
    parts.recorder.add({
      ...start,
      status,
      bytesUp: bytes.up,
      bytesDown: bytes.down,
      durationMs: parts.now() - start.at.getTime(),
      credential: passage.credential,
      decision: 'allowed',
      rule: search.down.hits > 0 ? `${passage.rule} redacted:${search.down.hits}` : passage.rule,
    });
  } catch (error) {
    const refusal =
      error instanceof RefusedError
        ? error.refusal
        : failed('upstream.broken', 'The connection to the upstream broke.');
    endWith(client, rawRefusal(refusal));
    recordRefusal(parts, start, refusal, passage.credential ?? undefined);
  }
}

interface Searches {
  /** What was put on and must not come back. */
  down: Redaction;
  /** Where nothing is put on: all that must not go out. */
  up: Redaction | undefined;
}

async function searches(
  parts: EgressParts,
  organizationId: string,
  { credential, secrets }: Passage,
): Promise<Searches> {
  const all = credential === null ? await searchOf(parts, organizationId) : undefined;
  return { down: parts.redactions.for(secrets ?? []), up: all?.active ? all : undefined };
}

/** What is compressed could not be searched. */
function readable(headers: readonly string[]): string[] {
  const kept = headers.filter((_, i, all) => {
    const name = all[i - (i % 2)]?.toLowerCase();
    return name !== 'sec-websocket-extensions' && name !== 'accept-encoding';
  });
  return [...kept, 'accept-encoding', 'identity'];
}

async function exchange(
  pools: UpstreamPools,
  { route, headers }: Passage,
  client: Socket,
  head: Buffer,
  bytes: { up: number; down: number },
  { up, down }: Searches,
): Promise<number> {
  const isSearched = down.active || up !== undefined;
  const upstream = await pools.dial(route);
  if (client.destroyed) {
    upstream.destroy();
    throw new RefusedError(failed('client.gone', 'The client went away before the upstream was asked.'));
  }
  const answer = await new Promise<{ response: IncomingMessage; tunnel?: Duplex; first?: Buffer }>(
    (resolve, reject) => {
      const request = sendRequest({
        method: 'GET',
        path: route.path,
        headers: isSearched ? readable(headers) : headers,
        setHost: false,
        createConnection: () => upstream,
        maxHeaderSize: 64 * 1024,
      });
      const late = () => {
        reject(new RefusedError(failed('upstream.timeout', 'The upstream did not answer in time.', 504)));
        request.destroy();
      };
      const timer = setTimeout(late, answerTimeoutMs);
      request.once('close', () => clearTimeout(timer));
      client.once('close', () => request.destroy());
      request.once('error', reject);
      request.once('upgrade', (response, tunnel, first) => {
        clearTimeout(timer);
        resolve({ response, tunnel, first });
      });
      request.once('response', (response) => resolve({ response }));
      request.end();
    },
  );
  const { response, tunnel, first } = answer;
  const status = response.statusCode ?? 502;
  const kept = forwardedResponseHeaders(response.rawHeaders).map((part) => down.text(part));
  const accepted = tunnel !== undefined && status === 101;
  if (!accepted) {
    // The length was read off the connection; ours ends with the connection.
    const rest = kept.filter((_, i, all) => all[i - (i % 2)]?.toLowerCase() !== 'content-length');
    client.write(headOf(status, [...rest, 'connection', 'close']));
    if (tunnel) {
      tunnel.destroy();
      endWith(client);
      return status;
    }
    response.once('close', () => {
      if (!response.complete) client.destroy();
    });
    const search = down.active ? searching(down) : undefined;
    pour(response, search ?? client, pools.lane, (count) => {
      bytes.down += count;
    });
    search?.pipe(client);
    await closed(client);
    upstream.destroy();
    return status;
  }
  if (isSearched && response.headers['sec-websocket-extensions'] !== undefined) {
    tunnel.destroy();
    const message = 'The upstream uses a WebSocket extension that was not asked for.';
    throw new RefusedError(failed('upstream.malformed', message));
  }
  client.write(headOf(status, [...kept, 'connection', 'Upgrade', 'upgrade', 'websocket']));
  if (first && first.byteLength > 0) tunnel.unshift(first);
  if (head.byteLength > 0) client.unshift(head);
  const broken = await relay(client, tunnel, bytes, {
    lane: pools.lane,
    up: up && new FrameFilter({ search: up, masked: true, onFound: () => new RefusedError(outbound) }),
    down: down.active ? new FrameFilter({ search: down, masked: false }) : undefined,
  });
  if (broken instanceof RefusedError) throw broken;
  if (broken) throw new RefusedError(malformed('websocket.malformed', broken.message));
  return status;
}

/** A body that goes by, without what is looked for. */
function searching(redaction: Redaction): Transform {
  const search = redaction.stream();
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) => done(null, search.push(chunk)),
    flush: (done) => done(null, search.rest()),
  });
}

function headOf(status: number, headers: readonly string[]): Buffer {
  let text = `HTTP/1.1 ${status} ${status === 101 ? 'Switching Protocols' : 'Answer'}\r\n`;
  for (let i = 0; i + 1 < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return Buffer.from(`${text}\r\n`, 'latin1');
}
