import type { ProviderName } from '../store/schema.ts';
import type { Grants } from './capability.ts';
import { readPolicy } from './policy.ts';
import { capabilityTables } from './tables.ts';

/** What a provider is asked for so that the agent may do one thing: scopes, for GitHub `permission:level`. */
type ScopeTable = Readonly<Record<string, string>>;

/** What the platform itself needs, whatever is granted: receive, show presence, read back what it wrote, reply. */
const platformScopes: Readonly<Record<ProviderName, string>> = {
  slack:
    'app_mentions:read assistant:write channels:history channels:read chat:write groups:history groups:read im:history im:read mpim:history mpim:read users:read',
  github: 'metadata:read issues:write pull_requests:write',
  linear: 'read write app:assignable app:mentionable',
};

/** Per provider and capability, what it needs beside that. A capability without a row needs nothing more. */
const capabilityScopes: Readonly<Record<ProviderName, ScopeTable>> = {
  slack: {
    'reaction.add': 'reactions:write',
    'reaction.remove': 'reactions:write',
    'file.read': 'files:read',
    'file.write': 'files:write',
    'canvas.write': 'canvases:write',
    'dm.write': 'im:write',
    'search.read': 'search:read.public',
  },
  github: {
    'repo.read': 'contents:read',
    'repo.push': 'contents:write',
    'repo.push.pr_head': 'contents:write',
    'repo.push.default': 'contents:write',
    'repo.branch.create': 'contents:write',
    'repo.branch.delete': 'contents:write',
    'pr.create': 'contents:write',
    'pr.merge': 'contents:write',
    'workflow.read': 'actions:read checks:read statuses:read',
    'workflow.dispatch': 'actions:write',
    'workflow.write': 'workflows:write contents:write',
    'release.read': 'contents:read',
    'release.create': 'contents:write',
  },
  linear: {
    'comment.write': 'comments:create',
    'issue.create': 'issues:create',
    'subissue.create': 'issues:create',
  },
};

/** What a policy that names teams needs, to ask who is in them. */
const teamScopes: Readonly<Partial<Record<ProviderName, string>>> = { github: 'members:read' };

/**
 * The scopes that a manifest asks for: the platform's, those of what is granted or asked, and those that asking for the
 * policy's teams takes. Sorted, each once. Pure.
 */
export function requiredScopes(
  provider: ProviderName,
  grants: Grants,
  policy: Readonly<Record<string, unknown>> = {},
): string[] {
  const granted = Object.entries(capabilityTables[provider]).filter(
    ([name, usual]) => (grants[name] ?? usual) !== 'off',
  );
  const needed = granted.flatMap(([name]) => (capabilityScopes[provider][name] ?? '').split(' '));
  const teams = readPolicy(policy).authority.teams.length > 0 ? teamScopes[provider] : undefined;
  const all = [...platformScopes[provider].split(' '), ...needed, teams ?? ''].filter(
    (scope) => scope !== '',
  );
  return [...new Set(all)].sort();
}

/** GitHub's `permission:level` list as its manifest has it, of two levels the higher. Pure. */
export function permissionsOf(scopes: readonly string[]): Record<string, 'read' | 'write'> {
  const permissions: Record<string, 'read' | 'write'> = {};
  for (const scope of scopes) {
    const [name = '', level] = scope.split(':');
    if (level === 'write' || permissions[name] === undefined) {
      permissions[name] = level === 'write' ? 'write' : 'read';
    }
  }
  return permissions;
}

/**
 * Which of the required scopes a provider has not given. On GitHub `write` covers `read`; on Linear `write` covers what
 * may only be created. Pure.
 */
export function missingScopes(
  provider: ProviderName,
  required: readonly string[],
  given: readonly string[],
): string[] {
  const has = new Set(given);
  return required.filter((scope) => !has.has(scope) && !has.has(coveredBy(provider, scope)));
}

function coveredBy(provider: ProviderName, scope: string): string {
  if (provider === 'github') return scope.replace(/:read$/, ':write');
  return provider === 'linear' && scope.endsWith(':create') ? 'write' : scope;
}
