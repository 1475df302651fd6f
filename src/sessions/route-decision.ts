import { readPolicy } from '../capabilities/policy.ts';
import { vote } from '../outbound/approvals/decide.ts';
import { hasAuthority, reputeOf } from '../outbound/authority.ts';
import type { ProviderAdapter } from '../providers/provider.ts';
import { withOrganization } from '../store/organization.ts';
import { findAnchor } from './anchors.ts';
import {
  contextOf,
  type DecisionSignal,
  type Outcome,
  type RouteDependencies,
  type Routed,
  whisper,
} from './routing.ts';
import { sessionPort } from './session-port.ts';

/**
 * Follows somebody's word on a request for approval. Who that is, is asked of the provider for this decision; nothing is
 * remembered from before. A word that does not count is told to who said it, where there is a quiet way.
 */
export async function followDecision(
  dependencies: RouteDependencies,
  adapter: ProviderAdapter,
  routed: Routed,
  signal: DecisionSignal,
): Promise<Outcome> {
  const { publication } = routed;
  const { author } = signal;
  const handle = signal.authorHint?.login;
  const rules = readPolicy(publication.policy).authority;
  const repute = await reputeOf(adapter, contextOf(dependencies, routed), rules, signal, { fresh: true });
  const counts = author.kind === 'person' && hasAuthority(repute);
  const outcome = await withOrganization(dependencies.database, publication.organizationId, async (tx) => {
    const anchored = await findAnchor(tx, publication.id, signal.anchor.key);
    return vote(
      tx,
      { adapters: dependencies.adapters, sessions: sessionPort },
      {
        approvalId: signal.approvalId,
        // Where no session listens, nothing was asked.
        anchorId: anchored?.anchorId ?? '',
        decision: signal.decision,
        voter: { ...author, hasAuthority: counts, ...(handle !== undefined && { handle }) },
        now: dependencies.clock(),
      },
    );
  });
  if (outcome.kind !== 'refused') return { kind: 'routed', sessionId: outcome.sessionId };
  await whisper(dependencies, adapter, routed, signal, outcome.reason);
  const reason = outcome.code === 'unknown' ? 'unknown_approval' : 'decision_refused';
  return {
    kind: 'ignored',
    reason: `${reason}: ${outcome.reason}`,
    ...(outcome.sessionId !== undefined && { sessionId: outcome.sessionId }),
  };
}
