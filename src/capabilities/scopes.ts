import type { ProviderName } from '../store/schema.ts';
import type { Grants } from './capability.ts';
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

/** The scopes that a manifest asks for: the platform's, and those of what is granted or asked. Sorted, each once. Pure. */
export function requiredScopes(provider: ProviderName, grants: Grants): string[] {
  const granted = Object.entries(capabilityTables[provider]).filter(
    ([name, usual]) => (grants[name] ?? usual) !== 'off',
  );
  const needed = granted.flatMap(([name]) => (capabilityScopes[provider][name] ?? '').split(' '));
  const all = [...platformScopes[provider].split(' '), ...needed].filter((scope) => scope !== '');
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
