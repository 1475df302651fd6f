import type { Socket } from 'node:net';
import { maxHelloBytes, readClientHello } from './client-hello.ts';
import type { Lane } from './fair-queue.ts';
import { canonicalHost } from './host-names.ts';
import { endWith } from './last-words.ts';
import { type EgressParts, type RecordStart, recordRefusal, requireRecorder } from './parts.ts';
import type { ProxySession } from './proxy-session.ts';
import { failed, malformed, type Refusal, RefusedError, rawRefusal } from './refusal.ts';
import { relay } from './relay.ts';
import { decideDestination } from './session-policy.ts';
import type { Tunnel } from './tunnel.ts';

const helloTimeoutMs = 10_000;

/**
 * Tunnels a CONNECT for a host whose TLS is left alone, because its client accepts the host's own certificate only.
 * The address is vetted as always, and the client must ask for that very host in TLS. Never rejects; records at the
 * end.
 */
export async function passThrough(
  parts: EgressParts,
  tunnel: Tunnel,
  rule: string,
  start: RecordStart,
  socket: Socket,
  head: Buffer,
): Promise<void> {
  let upstream: Socket;
  try {
    upstream = await dialRaw(parts, tunnel.session, tunnel.host);
  } catch (error) {
    const refusal = refusalOf(error);
    endWith(socket, rawRefusal(refusal));
    return recordRefusal(parts, start, refusal);
  }
  if (socket.destroyed) return void upstream.destroy();
  socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
  const hello = await firstBytes(socket, head);
  const name = hello.serverName?.toLowerCase().replace(/\.$/, '');
  if (name !== tunnel.host) {
    upstream.destroy();
    socket.destroy();
    const why = hello.reason ?? `it asks for ${hello.serverName}`;
    const message = `Only TLS that asks for ${tunnel.host} is passed through, and ${why}.`;
    return recordRefusal(parts, start, malformed('tls.name', message, 421));
  }
  await join(parts, start, rule, socket, upstream, hello.bytes, tunnel.session.lane);
}

/**
 * The same for a client that believes to speak to the host itself. False, with nothing taken from the socket, when
 * its TLS is to be ended here as usual. Never rejects but for an error of ours.
 */
export async function passThroughTransparent(
  parts: EgressParts,
  session: ProxySession,
  start: RecordStart,
  socket: Socket,
): Promise<boolean> {
  const policy = await session.policy().catch(() => undefined);
  // Only where such hosts are listed a hello has to be read twice.
  if (!policy || policy.passthroughHosts.length === 0) return false;
  const hello = await firstBytes(socket, Buffer.alloc(0));
  const name = canonicalHost(hello.serverName ?? '');
  const decided = name.ok ? decideDestination(policy, name.host, 443, parts.rules) : undefined;
  if (!name.ok || !decided?.ok || decided.destination.kind !== 'opaque') {
    if (hello.bytes.byteLength > 0 && !socket.destroyed) socket.unshift(hello.bytes);
    return false;
  }
  const named = { ...start, host: name.host };
  try {
    requireRecorder(parts);
    const upstream = await dialRaw(parts, session, name.host);
    if (socket.destroyed) upstream.destroy();
    else await join(parts, named, decided.destination.rule, socket, upstream, hello.bytes, session.lane);
  } catch (error) {
    socket.destroy();
    recordRefusal(parts, named, refusalOf(error));
  }
  return true;
}

/** A connection without TLS of ours: to a vetted public address, or to the https origin that the operator names. */
async function dialRaw(parts: EgressParts, session: ProxySession, host: string): Promise<Socket> {
  const policy = await session.policy();
  const route = parts.rules.upstreams.route(host, '/', policy.publication?.emulated ?? false);
  if (!route)
    throw new RefusedError(failed('upstream.unmapped', `${host} is mapped and not passed through.`));
  const upstream = await session.pools.dial(route, { raw: true });
  // It may break before anybody listens.
  upstream.on('error', () => {});
  return upstream;
}

async function join(
  parts: EgressParts,
  start: RecordStart,
  rule: string,
  socket: Socket,
  upstream: Socket,
  first: Buffer,
  lane: Lane,
): Promise<void> {
  const bytes = { up: first.byteLength, down: 0 };
  upstream.write(first);
  await relay(socket, upstream, bytes, { lane });
  parts.recorder.add({
    ...start,
    status: 200,
    bytesUp: bytes.up,
    bytesDown: bytes.down,
    durationMs: parts.now() - start.at.getTime(),
    credential: null,
    decision: 'allowed',
    rule,
  });
}

interface FirstBytes {
  bytes: Buffer;
  serverName?: string;
  /** Why there is no name. */
  reason?: string;
}

/** Collects a client's first bytes until its hello is whole, or cannot become one; then takes no more. */
function firstBytes(socket: Socket, head: Buffer): Promise<FirstBytes> {
  return new Promise((resolve) => {
    let bytes = head;
    const timer = setTimeout(() => done({ reason: 'it took too long' }), helloTimeoutMs);
    const done = (found: Omit<FirstBytes, 'bytes'>) => {
      clearTimeout(timer);
      socket.off('data', more);
      socket.off('close', gone);
      socket.off('end', gone);
      socket.pause();
      resolve({ bytes, ...found });
    };
    const gone = () => done({ reason: 'it ended before it said whom it wants' });
    const read = () => {
      const hello = readClientHello(bytes);
      if (hello.kind === 'hello') done({ serverName: hello.serverName });
      else if (hello.kind === 'no') done({ reason: hello.reason });
      else if (bytes.byteLength > 2 * maxHelloBytes) done({ reason: 'it is too long' });
    };
    const more = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      read();
    };
    socket.once('close', gone);
    socket.once('end', gone);
    socket.on('data', more);
    socket.resume();
    if (bytes.byteLength > 0) read();
  });
}

function refusalOf(error: unknown): Refusal {
  return error instanceof RefusedError
    ? error.refusal
    : failed('upstream.unreachable', 'The upstream could not be reached.');
}
