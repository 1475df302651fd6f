import type { BroughtText, OutboundRequest, RequestNeed } from '../provider.ts';
import { pathSegments } from './path.ts';
import { type Route, repositoryRoutes } from './routes.ts';

/** What GitHub lets an account or a repository be called. */
const namePattern = /^[A-Za-z0-9_.-]{1,100}$/;
const searchKinds = new Set(['code', 'commits', 'issues', 'labels', 'repositories', 'topics', 'users']);

const refuse = (reason: string): RequestNeed => ({ ok: false, reason });

/**
 * The capability that a REST request needs, by method and path alone: what only the body tells (`state: closed`, the
 * branch of a commit) is taken at its strictest. What the table does not name is refused. Pure.
 * https://docs.github.com/en/rest
 */
export function requestNeed(request: OutboundRequest): RequestNeed {
  const method = request.method.toUpperCase();
  const segments = pathSegments(request.path);
  if (!segments)
    return refuse('The path is not written in one clear way: no empty, dot or doubly encoded segments.');
  const [area, owner, repo, ...rest] = segments;
  if (area === 'graphql') {
    return refuse('A GraphQL request cannot be mapped to a capability; use the REST API.');
  }
  if (area === 'search') {
    const isKnown =
      segments.length === 2 && searchKinds.has(owner ?? '') && (method === 'GET' || method === 'HEAD');
    return isKnown
      ? { ok: true, capability: 'github:search.read', brings: { by: 'anybody' } }
      : unmapped(method, request.path);
  }
  if (area !== 'repos' || !owner || !repo) return unmapped(method, request.path);
  if (!namePattern.test(owner) || !namePattern.test(repo))
    return refuse('The repository is no name of GitHub.');
  const route = routeOf(method === 'HEAD' ? 'GET' : method, rest);
  if (!route?.capability) return unmapped(method, request.path);
  const brings = method === 'GET' ? broughtBy(route, rest, request.query) : undefined;
  const changes = refChange(method, rest);
  return {
    ok: true,
    capability: `github:${route.capability}`,
    repository: `${owner}/${repo}`,
    place: { owner, repo },
    ...(brings && { brings }),
    ...(changes && { changes }),
  };
}

/** What a request does to a branch; of a new one only the body says the name. */
function refChange(method: string, [git, refs, ...name]: readonly string[]) {
  if (git !== 'git' || refs !== 'refs') return undefined;
  if (method === 'POST') return { refIn: 'body' } as const;
  if (method !== 'PATCH' && method !== 'DELETE') return undefined;
  return { ref: `refs/${name.join('/')}`, kind: method === 'PATCH' ? 'update' : 'delete' } as const;
}

function broughtBy(
  { texts }: Route,
  segments: readonly string[],
  query: URLSearchParams,
): BroughtText | undefined {
  const pull = segments[0] === 'pulls' && /^\d+$/.test(segments[1] ?? '') ? segments[1] : undefined;
  switch (texts) {
    case 'named':
      return { by: 'named', ...(pull !== undefined && { pull }) };
    case 'pull':
      return pull === undefined ? { by: 'anybody' } : { by: 'pull', pull };
    case 'revision':
      return isOwnRevision(segments, query) ? undefined : { by: 'forks' };
    case 'forks':
      return { by: 'forks' };
    case undefined:
      return undefined;
  }
}

/** Where a request that reads files says of which revision: in the query, or behind these words of the path. */
const revisionParameters = ['ref', 'sha'];
const revisionPaths = new Set(['commits', 'compare', 'tarball', 'zipball']);

/**
 * Whether what is read can only have been pushed to the repository itself: the default branch, or a branch or tag by
 * name. By a commit's number GitHub gives what a fork holds as well, and `refs/pull/…` are others' by intent.
 */
function isOwnRevision(segments: readonly string[], query: URLSearchParams): boolean {
  const [area = '', ...rest] = segments;
  const named = revisionParameters.flatMap((name) => query.getAll(name));
  if (revisionPaths.has(area)) named.push(rest.join('/'));
  if (area === 'git') named.push(rest.slice(1).join('/'));
  return named.flatMap((name) => name.split(/\.{2,3}/)).every(isOwnName);
}

function isOwnName(name: string): boolean {
  if (/^[0-9a-f]{4,64}(?![A-Za-z0-9_-])/i.test(name)) return false;
  return !/[:^~@]/.test(name) && !/^(?:refs\/)?pull(?:\/|$)/.test(name);
}

function unmapped(method: string, path: string): RequestNeed {
  return refuse(`${method} ${path.slice(0, 200)} is not among the requests that a capability stands for.`);
}

function routeOf(method: string, segments: readonly string[]): Route | undefined {
  return repositoryRoutes.find((each) => each.method === method && fits(each, segments));
}

/** `:n` is a number, `:x` one segment, `*` one or more segments to the end. */
function fits(route: Route, segments: readonly string[]): boolean {
  for (const [index, expected] of route.pattern.entries()) {
    const segment = segments[index];
    if (segment === undefined) return false;
    if (expected === '*') return true;
    if (expected === ':n' ? !/^\d{1,20}$/.test(segment) : expected !== ':x' && expected !== segment)
      return false;
  }
  return segments.length === route.pattern.length;
}
