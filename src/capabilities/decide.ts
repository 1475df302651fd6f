import type { Grant, ProviderName } from '../store/schema.ts';
import type { Capability, Grants } from './capability.ts';
import { capabilityTables } from './tables.ts';

/** What the gate says. `reason` is a sentence for the agent and for an admin; empty when allowed. */
export interface Decision {
  decision: 'allowed' | 'refused' | 'waiting_for_approval';
  reason: string;
}

/** Splits `github:pr.merge` into its provider and its name; undefined when it is no capability of ours. */
export function parseCapability(capability: string): { provider: ProviderName; name: string } | undefined {
  const [provider, name] = capability.split(':', 2);
  if (!provider || !name || !Object.hasOwn(capabilityTables, provider)) return undefined;
  const known = provider as ProviderName;
  return Object.hasOwn(capabilityTables[known], name) ? { provider: known, name } : undefined;
}

/** The grant in force: the admin's, else the table's. Unknown names are off. */
export function grantOf(capability: Capability, grants: Grants): Grant {
  const parsed = parseCapability(capability);
  if (!parsed) return 'off';
  return grants[parsed.name] ?? capabilityTables[parsed.provider][parsed.name] ?? 'off';
}

/** The gate: may a session of this publication use this capability now? Both doors ask here. */
export function decide(capability: Capability, grants: Grants): Decision {
  switch (grantOf(capability, grants)) {
    case 'on':
      return { decision: 'allowed', reason: '' };
    case 'ask':
      return {
        decision: 'waiting_for_approval',
        reason: `${capability} needs a person's approval for this publication.`,
      };
    case 'off':
      return {
        decision: 'refused',
        reason: `${capability} is not granted to this publication. An admin can grant it in the publication's settings.`,
      };
  }
}

/**
 * What may be done freely where people without authority have been read: reading the anchor with the repository that it
 * is in, and replying in it. Who can see the reply can see the repository.
 */
const anchorCapabilities: ReadonlySet<Capability> = new Set<Capability>([
  'slack:message.read',
  'slack:thread.reply',
  'github:issue.read',
  'github:pr.read',
  'github:repo.read',
  'github:comment.write',
  'linear:issue.read',
  'linear:comment.write',
]);

/** What a session has read, and how far the act in question reaches. */
export interface Circumstances {
  /** Text by people without authority is in the session's context. */
  readOutsiders: boolean;
  /** Whether it stays within the session's own anchor. */
  inAnchor: boolean;
}

/**
 * The gate for one act of one session. Once it has read text by people without authority, everything but reading its
 * anchor and replying in it that would be allowed needs a person's approval: a label is only a hint to a model.
 */
export function decideFor(
  capability: Capability,
  grants: Grants,
  { readOutsiders, inAnchor }: Circumstances,
): Decision {
  const decision = decide(capability, grants);
  if (decision.decision !== 'allowed' || !readOutsiders) return decision;
  if (inAnchor && anchorCapabilities.has(capability)) return decision;
  return {
    decision: 'waiting_for_approval',
    reason: `${capability} needs a person's approval in this session, because it has read text by people without authority.`,
  };
}

/** Checks grants as an admin sets them; answers the names that the provider's table does not have. */
export function unknownCapabilities(provider: ProviderName, grants: Grants): string[] {
  return Object.keys(grants).filter((name) => !Object.hasOwn(capabilityTables[provider], name));
}
