import type { Socket } from 'node:net';
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
import { failed, RefusedError, refuse } from './refusal.ts';
import type { Route } from './upstreams.ts';

export interface PoolOptions {
  resolve: Resolve;
  connect: Connect;
}

/** A model may think for long before its first byte and between two. */
const silenceTimeoutMs = 15 * 60_000;
const maxPools = 64;

/**
 * The open connections of one principal. Never shared with another, so that what one connection's upstream answers
 * can be an answer to that principal only.
 */
export class UpstreamPools {
  readonly #pools = new Map<string, Pool>();
  readonly #options: PoolOptions;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /**
   * The pool for a route, made at first use. With `http2` its connections speak that where the upstream agrees to it;
   * a request that the upstream says it has not begun, when it ends such a connection, is asked again.
   */
  for(route: Route, http2 = false): Dispatcher {
    const { key: where, origin } = address(route);
    const key = http2 ? `${where} h2` : where;
    const pool = this.#pools.get(key) ?? this.#open(route, origin, http2);
    keepNewest(this.#pools, key, pool, maxPools)
      ?.close()
      .catch(() => {});
    return pool;
  }

  /** A connection of its own, for what is no request and answer. Rejects with a RefusedError. */
  async dial(route: Route, speech: Speech = {}): Promise<Socket> {
    const { resolve, connect } = this.#options;
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
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map((pool) => pool.destroy().catch(() => {})));
  }

  #open(route: Route, origin: string, http2: boolean): Pool {
    const { resolve, connect } = this.#options;
    const shared = {
      allowH2: http2,
      // Over HTTP/2 undici takes as many at once as the upstream does.
      ...(http2 ? {} : { pipelining: 1 }),
      connections: http2 ? 8 : 64,
      headersTimeout: silenceTimeoutMs,
      bodyTimeout: silenceTimeoutMs,
      maxHeaderSize: 64 * 1024,
    };
    if (route.kind === 'socket') return new Pool(origin, { ...shared, socketPath: route.socketPath });
    const dial =
      route.kind === 'public'
        ? () => dialPublic(route.host, resolve, connect, { http2, port: route.port })
        : () => dialMapped(route.origin, resolve, connect, { http2 });
    return new Pool(origin, {
      ...shared,
      connect: (_options, callback) => {
        dial().then(
          (socket) => callback(null, socket),
          (error: unknown) => callback(asRefused(error), null),
        );
      },
    });
  }
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
