import type { Upstream } from './protocol.ts';

/** Where a request for a policy host goes. */
export type Route =
  /** To the host itself, over TLS, at a vetted public address; on port 443 unless it says another. */
  | { kind: 'public'; host: string; port?: number; path: string }
  /** To an origin that the operator named; neither vetted nor necessarily TLS. */
  | { kind: 'mapped'; origin: URL; path: string }
  /** To a Unix socket of ours. */
  | { kind: 'socket'; socketPath: string; path: string };

function inScope(upstream: Upstream, emulated: boolean): boolean {
  return upstream.scope === 'all' || (upstream.scope === 'emulated') === emulated;
}

/** The operator's mappings, as they apply to real and to emulated publications. */
export class UpstreamMap {
  readonly #upstreams: readonly Upstream[];
  readonly #ownNames: ReadonlySet<string>;

  constructor(upstreams: readonly Upstream[]) {
    // The longest prefix says the most; between equal ones the narrower scope does.
    this.#upstreams = [...upstreams].sort(
      (a, b) =>
        b.pathPrefix.length - a.pathPrefix.length || Number(a.scope === 'all') - Number(b.scope === 'all'),
    );
    const vendorNames = new Set(upstreams.map((upstream) => upstream.host));
    this.#ownNames = new Set(
      upstreams.map((upstream) => new URL(upstream.target).hostname).filter((name) => !vendorNames.has(name)),
    );
  }

  /** Whether this host is mapped at all for such a principal. */
  maps(host: string, emulated: boolean): boolean {
    return this.#upstreams.some((upstream) => upstream.host === host && inScope(upstream, emulated));
  }

  /** Whether this is a mapping target's own name, by which nothing inside may reach it. */
  isOwnName(host: string): boolean {
    return this.#ownNames.has(host);
  }

  /**
   * The way for a request that policy and gate have let through. Undefined when the host is mapped but not this
   * path or port: falling back to the real vendor would mix two worlds.
   */
  route(host: string, target: string, emulated: boolean, port = 443): Route | undefined {
    if (port !== 443) {
      return this.maps(host, emulated) ? undefined : { kind: 'public', host, port, path: target };
    }
    const path = target.split('?', 1)[0] ?? '';
    const upstream = this.#upstreams.find(
      (candidate) =>
        candidate.host === host && inScope(candidate, emulated) && startsWithPath(path, candidate.pathPrefix),
    );
    if (!upstream) return this.maps(host, emulated) ? undefined : { kind: 'public', host, path: target };
    const origin = new URL(upstream.target);
    return {
      kind: 'mapped',
      origin,
      path: joinPath(origin.pathname, target.slice(upstream.pathPrefix.length)),
    };
  }
}

/** A prefix that is a whole path, as `/graphql`, stands for the target's whole path: nothing is added to that. */
function joinPath(base: string, rest: string): string {
  const bare = base.replace(/\/$/, '');
  const joined = /^([/?]|$)/.test(rest) ? `${bare}${rest}` : `${bare}/${rest}`;
  return joined.startsWith('/') ? joined : `/${joined}`;
}

/** `/api` covers `/api` and `/api/x`, not `/apis`. */
function startsWithPath(path: string, prefix: string): boolean {
  const bare = prefix.replace(/\/$/, '');
  return path === bare || path.startsWith(`${bare}/`) || (bare === '' && path.startsWith('/'));
}
