import { connect, type Socket } from 'node:net';
import { type Dispatcher, Pool } from 'undici';
import { keepNewest } from '../keep-newest.ts';
import {
  type Connect,
  dialMapped,
  dialPublic,
  isCertificateError,
  type Resolve,
  type Speech,
} from './dialing.ts';
import { costs, type Lane } from './fair-queue.ts';
import type { UpstreamHandler } from './http1-exchange.ts';
import type { UpstreamRequest } from './http1-outgoing.ts';
import { Http1Pool } from './http1-pool.ts';
import { Http2Pool } from './http2-pool.ts';
import { failed, RefusedError, refuse } from './refusal.ts';
import { patientMs } from './upstream-failure.ts';
import type { Route } from './upstreams.ts';

export interface PoolOptions {
  resolve: Resolve;
  connect: Connect;
}

/** Sends requests to one origin, and tells their handlers what becomes of them. */
export interface Upstream {
  dispatch(request: UpstreamRequest, handler: UpstreamHandler): unknown;
}

interface Pools {
  http1: Http1Pool;
  /** Made at first use. */
  http2: Http2Pool | undefined;
  calls: Pool | undefined;
}

const maxPools = 64;
const maxHeaderBytes = 64 * 1024;

/**
 * The open connections of one principal. Never shared with another, so that what one connection's upstream answers
 * can be an answer to that principal only.
 */
export class UpstreamPools {
  readonly #pools = new Map<string, Pools>();
  readonly #options: PoolOptions;
  #isDestroyed = false;
  /** In which whoever sends over these connections waits. */
  readonly lane: Lane | undefined;

  constructor(options: PoolOptions, lane?: Lane) {
    this.#options = options;
    this.lane = lane;
  }

  /**
   * What sends requests over a route, made at first use. With `http2` its connections speak that where the upstream
   * agrees to it; a request that the upstream says it has not begun, when it ends such a connection, is asked again.
   */
  for(route: Route, http2 = false): Upstream {
    const pools = this.#find(route);
    if (!http2) return pools.http1;
    pools.http2 ??= new Http2Pool({
      turn: () => this.#turn(route),
      dial: () => this.#dial(route, true),
      authority: new URL(address(route).origin).host,
      maxConnections: 8,
      http1: pools.http1,
    });
    return pools.http2;
  }

  /** For calls of our own, with undici's whole interface. */
  client(route: Route): Dispatcher {
    const pools = this.#find(route);
    pools.calls ??= this.#open(route);
    return pools.calls;
  }

  #find(route: Route): Pools {
    const { key, origin } = address(route);
    const pools = this.#pools.get(key) ?? {
      http1: new Http1Pool({
        turn: () => this.#turn(route),
        dial: () => this.#dial(route, false),
        authority: new URL(origin).host,
        maxConnections: 64,
        maxHeaderBytes,
      }),
      http2: undefined,
      calls: undefined,
    };
    const oldest = keepNewest(this.#pools, key, pools, maxPools);
    if (oldest) letGo(oldest);
    return pools;
  }

  /** A connection of its own, for what is no request and answer. Rejects with a RefusedError. */
  async dial(route: Route, speech: Speech = {}): Promise<Socket> {
    const { resolve, connect } = this.#options;
    const turn = this.#turn(route, speech.raw);
    if (turn) await turn;
    if (this.#isDestroyed) {
      throw new RefusedError(failed('upstream.unreachable', 'Its session was closed meanwhile.'));
    }
    try {
      if (route.kind === 'public') {
        return await dialPublic(route.host, resolve, connect, { ...speech, port: route.port });
      }
      if (route.kind === 'mapped' && !(speech.raw && route.origin.protocol !== 'https:')) {
        return await dialMapped(route.origin, resolve, connect, speech);
      }
    } catch (error) {
      throw asRefused(error);
    }
    throw new RefusedError(refuse('http.upgrade', 'There is nothing but plain HTTP here.', 501));
  }

  /** Breaks every connection. */
  async destroy(): Promise<void> {
    this.#isDestroyed = true;
    const all = [...this.#pools.values()];
    this.#pools.clear();
    for (const { http1, http2 } of all) {
      http1.destroy();
      http2?.destroy();
    }
    await Promise.all(all.map(({ calls }) => calls?.destroy().catch(() => {})));
  }

  /** Its turn to open a connection, which costs much where TLS is spoken on it. */
  #turn(route: Route, isRaw = false): Promise<void> | undefined {
    const isPlain =
      isRaw || route.kind === 'socket' || (route.kind === 'mapped' && route.origin.protocol === 'http:');
    return this.lane?.take(isPlain ? costs.connect : costs.dial);
  }

  async #dial(route: Route, http2: boolean): Promise<Socket> {
    const { resolve, connect } = this.#options;
    try {
      switch (route.kind) {
        case 'public':
          return await dialPublic(route.host, resolve, connect, { http2, port: route.port });
        case 'mapped':
          return await dialMapped(route.origin, resolve, connect, { http2 });
        case 'socket':
          return await dialSocket(route.socketPath);
      }
    } catch (error) {
      throw asRefused(error);
    }
  }

  #open(route: Route): Pool {
    return new Pool(address(route).origin, {
      allowH2: false,
      pipelining: 1,
      connections: 64,
      headersTimeout: patientMs,
      bodyTimeout: patientMs,
      maxHeaderSize: maxHeaderBytes,
      connect: (_options, callback) => {
        this.#dial(route, false).then(
          (socket) => callback(null, socket),
          (error: Error) => callback(error, null),
        );
      },
    });
  }
}

/** Of a route that was not used for long: what is under way is taken to its end. */
function letGo({ http1, http2, calls }: Pools): void {
  http1.close();
  http2?.close();
  calls?.close().catch(() => {});
}

function dialSocket(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

function address(route: Route): { key: string; origin: string } {
  switch (route.kind) {
    case 'public': {
      const authority = route.port === undefined ? route.host : `${route.host}:${route.port}`;
      return { key: `public ${authority}`, origin: `https://${authority}` };
    }
    case 'mapped':
      return { key: `mapped ${route.origin.origin}`, origin: route.origin.origin };
    case 'socket':
      return { key: `socket ${route.socketPath}`, origin: 'http://tagalong.internal' };
  }
}

/** Every way in which a connection is not made, told without an address. */
function asRefused(error: unknown): RefusedError {
  if (error instanceof RefusedError) return error;
  const code = String((error as { code?: unknown } | null)?.code ?? '');
  if (code === 'ETIMEDOUT') {
    return new RefusedError(failed('upstream.timeout', 'The upstream did not answer in time.', 504));
  }
  if (isCertificateError(code)) {
    return new RefusedError(
      failed('upstream.certificate', `The upstream's certificate is not valid for its name (${code}).`),
    );
  }
  return new RefusedError(failed('upstream.unreachable', 'The upstream could not be reached.'));
}
