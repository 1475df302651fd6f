import { type AuthorityRules, isNamed } from '../capabilities/policy.ts';
import type { Asked, Judgement, ProviderAdapter, ProviderContext } from '../providers/provider.ts';

/** What the adapter is asked about people. */
export type PeopleAdapter = Pick<ProviderAdapter, 'mayAddress' | 'isInTeam'>;

/** What is known of somebody: whether the policy names them, and the provider's word where it does not. */
export interface Repute {
  named: boolean;
  /** Undefined where the provider need not be asked. */
  judgement: Judgement | undefined;
}

export const hasAuthority = ({ named, judgement }: Repute): boolean => named || judgement?.allowed === true;

/**
 * What somebody's words count for in a place: by the policy's people, by the provider's word, by the policy's teams. Bots
 * are not asked about. Throws a ProviderError when the provider does not answer.
 */
export async function reputeOf(
  adapter: PeopleAdapter,
  context: ProviderContext,
  rules: Pick<AuthorityRules, 'people' | 'teams'>,
  who: Asked,
  options?: { fresh?: boolean },
): Promise<Repute> {
  const { author, authorHint } = who;
  if (isNamed(rules.people, { id: author.id, handle: authorHint?.login })) {
    return { named: true, judgement: undefined };
  }
  if (author.kind !== 'person') return { named: false, judgement: undefined };
  const judgement = await adapter.mayAddress(context, who, options);
  if (judgement.allowed || judgement.kind === 'bot') return { named: false, judgement };
  for (const team of rules.teams) {
    if (await adapter.isInTeam?.(context, who, team, options)) return { named: true, judgement };
  }
  return { named: false, judgement };
}
