import type { Capability } from '../../capabilities/capability.ts';
import type { OutboundRequest } from '../provider.ts';
import { pathSegments } from './path.ts';

type GitRequest =
  | {
      ok: true;
      service: 'upload-pack' | 'receive-pack';
      repository: string;
      place: { owner: string; repo: string };
      discovers: boolean;
    }
  | { ok: false; reason: string };

const namePattern = /^[A-Za-z0-9_.-]{1,100}$/;
const services = { 'git-upload-pack': 'upload-pack', 'git-receive-pack': 'receive-pack' } as const;
type ServiceName = keyof typeof services;
const isService = (name: string): name is ServiceName => Object.hasOwn(services, name);

const refuse = (reason: string): GitRequest => ({ ok: false, reason });

/**
 * What a request to github.com asks of git (gitprotocol-http, "smart" only). Anything else of the site is not for
 * agents. Pure.
 */
export function gitRequest({ method, path, query }: OutboundRequest): GitRequest {
  const segments = pathSegments(path);
  if (!segments) return refuse('the path is not written in one clear way');
  const [owner = '', repo = '', ...rest] = segments;
  const name = repo.replace(/\.git$/, '');
  if (!namePattern.test(owner) || !namePattern.test(name)) return refuse('the path names no repository');
  const repository = `${owner}/${name}`;
  const place = { owner, repo: name };
  const verb = rest.join('/');
  if (method === 'GET' && verb === 'info/refs') {
    const asked = [...query.entries()];
    const service = asked.length === 1 && asked[0]?.[0] === 'service' ? (asked[0][1] ?? '') : '';
    return isService(service)
      ? { ok: true, service: services[service], repository, place, discovers: true }
      : refuse('only the smart protocol of git is spoken here');
  }
  if (method === 'POST' && isService(verb) && query.size === 0) {
    return { ok: true, service: services[verb], repository, place, discovers: false };
  }
  return refuse('only git is spoken with this host; the REST API is at api.github.com');
}

/** The capability for one change that a push makes. Tags and other names have none. Pure. */
export function refUpdateNeed(
  update: { ref: string; kind: 'create' | 'update' | 'delete' },
  ownPrefix: string,
): Capability | undefined {
  const branch = /^refs\/heads\/(.+)$/.exec(update.ref)?.[1];
  if (
    branch === undefined ||
    branch.split('/').some((part) => part === '' || part === '.' || part === '..')
  ) {
    return undefined;
  }
  if (update.kind === 'delete') return 'github:repo.branch.delete';
  return branch.startsWith(ownPrefix) ? 'github:repo.push' : 'github:repo.push.default';
}
