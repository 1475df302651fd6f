import type { Capability, Grants } from '../capabilities/capability.ts';
import { decide } from '../capabilities/decide.ts';
import type { ProviderName } from '../store/schema.ts';

/** What may be done where people without authority have been read: reading the anchor and replying in it. */
const anchorCapabilities: Readonly<Record<ProviderName, readonly Capability[]>> = {
  slack: ['slack:message.read', 'slack:thread.reply'],
  github: ['github:issue.read', 'github:pr.read', 'github:comment.write'],
  linear: ['linear:issue.read', 'linear:comment.write'],
};

export interface GateInput {
  provider: ProviderName;
  capability: Capability;
  grants: Grants;
  /** Text by people without authority is in the session's context. */
  readOutsiders: boolean;
}

export type Passage = { allowed: true } | { allowed: false; reason: string };

/** The gate for one action: the grants, and what the session has read. Pure. */
export function passGate({ provider, capability, grants, readOutsiders }: GateInput): Passage {
  const decision = decide(capability, grants);
  if (decision.decision === 'refused') return { allowed: false, reason: decision.reason };
  if (decision.decision === 'waiting_for_approval') {
    return {
      allowed: false,
      reason: `${decision.reason} Approvals are not available yet, so it is refused for now; an admin can set it to "on" in the publication's settings.`,
    };
  }
  if (readOutsiders && !anchorCapabilities[provider].includes(capability)) {
    return {
      allowed: false,
      reason: `${capability} needs a person's approval in this session, because it has read text by people without authority. Approvals are not available yet, so it is refused for now.`,
    };
  }
  return { allowed: true };
}
