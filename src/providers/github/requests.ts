import type { Capability } from '../../capabilities/capability.ts';
import type { OutboundRequest, RequestNeed } from '../provider.ts';
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
    return isKnown ? { ok: true, capability: 'github:search.read' } : unmapped(method, request.path);
  }
  if (area !== 'repos' || !owner || !repo) return unmapped(method, request.path);
  if (!namePattern.test(owner) || !namePattern.test(repo))
    return refuse('The repository is no name of GitHub.');
  const capability = capabilityOf(method === 'HEAD' ? 'GET' : method, rest);
  return capability
    ? { ok: true, capability, repository: `${owner}/${repo}` }
    : unmapped(method, request.path);
}

function unmapped(method: string, path: string): RequestNeed {
  return refuse(`${method} ${path.slice(0, 200)} is not among the requests that a capability stands for.`);
}

function capabilityOf(method: string, segments: readonly string[]): Capability | undefined {
  const route = repositoryRoutes.find((each) => each.method === method && fits(each, segments));
  return route?.capability ? `github:${route.capability}` : undefined;
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
