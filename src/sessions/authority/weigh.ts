import { type AuthorityRules, isNamed } from '../../capabilities/policy.ts';
import type { IgnoreReason, Judgement } from '../../providers/provider.ts';
import type { MessageAuthor } from '../../store/schema.ts';

/** What somebody's words count for. */
export interface Weight {
  /** Whether they start a turn. What does not may still be context. */
  addresses: boolean;
  /** Whether they are free of what a stranger's words cost: the gate asks this. */
  authority: boolean;
  isBot: boolean;
  /** Why they do not address the agent. */
  reason?: Extract<IgnoreReason, 'no_authority' | 'other_bot' | 'wrong_place'>;
  /** Who they are, where they do not, or are merely let in. */
  detail?: string;
}

export interface WeighInput {
  rules: AuthorityRules;
  author: MessageAuthor;
  /** The provider's unique and unchanging-by-others name of the author, where it has one. Display names are none. */
  handle: string | undefined;
  /** By which names a policy can point at the place. */
  placeNames: readonly string[];
  /** The provider's own word. Undefined where it need not be asked. */
  judgement: Judgement | undefined;
  /** Whether they are in a team that the policy names. */
  inTeam?: boolean;
}

/** Some bots look like people until the provider is asked. Pure. */
export function isJudgedBot(judgement: Judgement | undefined): boolean {
  return judgement?.allowed === false && judgement.kind === 'bot';
}

/**
 * What somebody's words count for, by the publication's policy and the provider's word. Whom a policy merely lets in may
 * address the agent, yet has no authority by that; whom it names has both. Pure.
 */
export function weigh({ rules, author, handle, placeNames, judgement, inTeam }: WeighInput): Weight {
  const named = isNamed(rules.people, { id: author.id, handle }) || inTeam === true;
  const authority = named || judgement?.allowed === true;
  const isBot = author.kind === 'bot' || isJudgedBot(judgement);
  const no = (reason: NonNullable<Weight['reason']>, detail: string): Weight => ({
    addresses: false,
    authority,
    isBot,
    reason,
    detail,
  });
  const { places } = rules;
  const isPlace = (name: string) =>
    places?.some((place) => place.replace(/^#/, '').toLowerCase() === name.toLowerCase());
  if (places !== null && !placeNames.some(isPlace)) {
    return no('wrong_place', `the policy names ${places.slice(0, 5).join(', ') || 'no place'}`);
  }
  if (named) return { addresses: true, authority, isBot };
  const letIn = (detail: string): Weight => ({ addresses: true, authority: false, isBot, detail });
  if (isBot) {
    const detail = `${author.name ?? author.id} is a bot`;
    return rules.bots ? letIn(detail) : no('other_bot', detail);
  }
  if (rules.who === 'listed')
    return no('no_authority', `${author.name ?? author.id} is not on the policy's list of people`);
  if (!judgement) return no('no_authority', 'the provider did not say who they are');
  if (judgement.allowed) return { addresses: true, authority, isBot };
  const isLetIn =
    (judgement.kind === 'guest' && rules.guests) || (judgement.kind === 'external' && rules.external);
  return isLetIn ? letIn(judgement.detail) : no('no_authority', judgement.detail);
}
