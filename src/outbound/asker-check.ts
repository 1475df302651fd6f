import { and, desc, eq } from 'drizzle-orm';
import { type AuthorityRules, isNamed, readPolicy } from '../capabilities/policy.ts';
import type {
  AnchorAddress,
  Asked,
  ProviderContext,
  ProviderTool,
  ToolTarget,
} from '../providers/provider.ts';
import type { Transaction } from '../store/connection.ts';
import { anchors, messages, publications } from '../store/schema.ts';
import { hasAuthority, type PeopleAdapter, reputeOf } from './authority.ts';

/** Who asked for an act, and where it is done. */
export interface Askers {
  /** Who last asked in its turn, whatever their words count for; undefined where that was no person. */
  person: Asked | undefined;
  /** The same, where their authority must be asked of the provider: an act beyond the anchor rests on it. */
  toAsk: Asked | undefined;
  anchor: AnchorAddress;
  rules: AuthorityRules;
}

/** Whose authority an act beyond the anchor rests on: who last asked in its turn, where the provider must be asked. */
export async function loadAsker(
  tx: Transaction,
  action: { turnId: string | null; anchorId: string },
): Promise<Asked | undefined> {
  return (await loadAskers(tx, action))?.toAsk;
}

/** Who asked for what is done in this turn. Undefined when the anchor is gone. */
export async function loadAskers(
  tx: Transaction,
  action: { turnId: string | null; anchorId: string },
): Promise<Askers | undefined> {
  const places = await tx
    .select({ key: anchors.key, place: anchors.place, policy: publications.policy })
    .from(anchors)
    .innerJoin(publications, eq(publications.id, anchors.publicationId))
    .where(eq(anchors.id, action.anchorId));
  const found = places[0];
  if (!found) return undefined;
  const anchor = { key: found.key, place: found.place };
  const rules = readPolicy(found.policy).authority;
  const said =
    action.turnId === null
      ? []
      : await tx
          .select({ author: messages.author, authority: messages.authority })
          .from(messages)
          .where(and(eq(messages.turnId, action.turnId), eq(messages.wakes, true)))
          .orderBy(desc(messages.createdAt), desc(messages.id));
  const row = said.find(({ author }) => author.kind === 'person');
  if (!row) return { person: undefined, toAsk: undefined, anchor, rules };
  const { author } = row;
  // At some providers this is a mere display name: a false match spares a question, and gives nobody authority.
  const handle = author.name;
  const person = { author, anchor, ...(handle !== undefined && { authorHint: { login: handle } }) };
  // Who was let in without authority has none to lose: people approved what is done for them.
  const isKnown = !row.authority || isNamed(rules.people, { id: author.id, handle });
  return { person, toAsk: isKnown ? undefined : person, anchor, rules };
}

/** Whether a call reaches beyond the session's own anchor. Pure. */
export function reachesOut(
  tool: ProviderTool,
  input: Readonly<Record<string, unknown>>,
  place: ToolTarget['place'],
): boolean {
  if (tool.effect !== 'write') return false;
  return tool.isInAnchor?.(input, place) === false || tool.elsewhere?.(input, place) !== undefined;
}

/**
 * Asks the provider once more, just before a write beyond the anchor, whether who asked for it still has authority.
 * Answers why not, where not.
 */
export async function objectionToAsker(
  adapter: PeopleAdapter,
  context: ProviderContext,
  asked: Asked,
  rules: Pick<AuthorityRules, 'people' | 'teams'> = { people: [], teams: [] },
): Promise<string | undefined> {
  const repute = await reputeOf(adapter, context, rules, asked, { fresh: true });
  if (hasAuthority(repute)) return undefined;
  const detail = repute.judgement?.allowed === false ? repute.judgement.detail : 'the author is not a person';
  return `Who asked for it has no authority any more: ${detail}.`;
}
