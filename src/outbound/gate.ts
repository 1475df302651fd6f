import type { Capability, Grants } from '../capabilities/capability.ts';
import { type Circumstances, decideFor } from '../capabilities/decide.ts';

export interface GateInput extends Circumstances {
  capability: Capability;
  grants: Grants;
}

export type Passage = { kind: 'allowed' } | { kind: 'ask' | 'refused'; reason: string };

/** The gate for one action: the grants, and what the session has read. Pure. */
export function passGate({ capability, grants, ...circumstances }: GateInput): Passage {
  const { decision, reason } = decideFor(capability, grants, circumstances);
  if (decision === 'allowed') return { kind: 'allowed' };
  return { kind: decision === 'refused' ? 'refused' : 'ask', reason };
}
