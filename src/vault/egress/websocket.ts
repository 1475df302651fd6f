import { type IncomingMessage, request as sendRequest } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { forwardedRequestHeaders, forwardedResponseHeaders } from './header-rules.ts';
import type { EgressParts, RecordStart } from './parts.ts';
import { recordRefusal } from './parts.ts';
import type { Passage } from './pass-on.ts';
import { failed, RefusedError, rawRefusal } from './refusal.ts';
import { headerValues, type RequestHead } from './request-gate.ts';
import type { UpstreamPools } from './upstream-pools.ts';

/** The upstream's answer to the request must begin within this time. */
const answerTimeoutMs = 30_000;
const lingerMs = 2_000;
/** A connection on which nothing comes for this long is ended; clients and servers ping well within it. */
const silenceTimeoutMs = 15 * 60_000;

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
export function webSocketHeaders(rawHeaders: readonly string[], host: string): string[] {
  const kept = forwardedRequestHeaders(rawHeaders);
  return [...kept, 'host', host, 'connection', 'Upgrade', 'upgrade', 'websocket'];
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
    const status = await exchange(pools, passage, client, head, bytes);
    parts.recorder.add({
      ...start,
      status,
      bytesUp: bytes.up,
      bytesDown: bytes.down,
      durationMs: parts.now() - start.at.getTime(),
      credential: passage.credential,
      decision: 'allowed',
      rule: passage.rule,
    });
  } catch (error) {
    const refusal =
      error instanceof RefusedError
        ? error.refusal
        : failed('upstream.broken', 'The connection to the upstream broke.');
    client.end(rawRefusal(refusal));
    recordRefusal(parts, start, refusal, passage.credential ?? undefined);
  }
}

async function exchange(
  pools: UpstreamPools,
  { route, headers }: Passage,
  client: Socket,
  head: Buffer,
  bytes: { up: number; down: number },
): Promise<number> {
  const upstream = await pools.dial(route);
  const answer = await new Promise<{ response: IncomingMessage; tunnel?: Duplex; first?: Buffer }>(
    (resolve, reject) => {
      const request = sendRequest({
        method: 'GET',
        path: route.path,
        headers,
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
  const kept = forwardedResponseHeaders(response.rawHeaders);
  const accepted = tunnel !== undefined && status === 101;
  if (!accepted) {
    // The length was read off the connection; ours ends with the connection.
    const rest = kept.filter((_, i, all) => all[i - (i % 2)]?.toLowerCase() !== 'content-length');
    client.write(headOf(status, [...rest, 'connection', 'close']));
    if (tunnel) {
      tunnel.destroy();
      client.end();
      return status;
    }
    response.on('data', (chunk: Buffer) => {
      bytes.down += chunk.byteLength;
    });
    response.pipe(client);
    await closed(client);
    upstream.destroy();
    return status;
  }
  client.write(headOf(status, [...kept, 'connection', 'Upgrade', 'upgrade', 'websocket']));
  if (first && first.byteLength > 0) tunnel.unshift(first);
  if (head.byteLength > 0) client.unshift(head);
  client.on('data', (chunk: Buffer) => {
    bytes.up += chunk.byteLength;
  });
  tunnel.on('data', (chunk: Buffer) => {
    bytes.down += chunk.byteLength;
  });
  join(client, tunnel);
  join(tunnel, client);
  client.setTimeout(silenceTimeoutMs, () => client.destroy());
  await Promise.all([closed(client), closed(tunnel)]);
  return status;
}

/** Passes on as fast as the other side takes it; when one breaks, the other is broken too. */
function join(from: Duplex, to: Duplex): void {
  from.on('error', () => to.destroy());
  from.once('close', () => {
    if (!from.readableEnded) to.destroy();
  });
  // There is no half of a WebSocket: after one side has ended, the other has a moment for what is on its way.
  from.once('end', () => {
    setTimeout(() => {
      from.destroy();
      to.destroy();
    }, lingerMs).unref();
  });
  from.pipe(to);
}

function closed(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    if (stream.closed) resolve();
    else stream.once('close', resolve);
  });
}

function headOf(status: number, headers: readonly string[]): Buffer {
  let text = `HTTP/1.1 ${status} ${status === 101 ? 'Switching Protocols' : 'Answer'}\r\n`;
  for (let i = 0; i + 1 < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return Buffer.from(`${text}\r\n`, 'latin1');
}
