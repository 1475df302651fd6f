import type { AuthorityRules } from '../capabilities/policy.ts';
import {
  type AnchorAddress,
  type ProviderAdapter,
  type ProviderContext,
  ProviderError,
  type ProviderTool,
  type ToolResult,
  type ToolTarget,
  type Writer,
} from '../providers/provider.ts';
import type { Database, Transaction } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { markOutsidersRead, markRead } from '../store/outsiders.ts';
import type { SessionPort } from './approvals/session-port.ts';
import type { Askers } from './asker-check.ts';
import { hasAuthority, type PeopleAdapter, reputeOf } from './authority.ts';
import { objectionToAccess } from './place-check.ts';

/** The provider is not asked about more than these for one read; whoever is left counts as without authority. */
const maxAsked = 60;
const maxShown = 10;

/**
 * Those of the writers of what was read who have no authority in the session's own place; all that is known where it is
 * not known who they are. Throws a ProviderError when the provider does not answer.
 */
export async function outsidersAmong(
  adapter: PeopleAdapter,
  context: ProviderContext,
  rules: Pick<AuthorityRules, 'people' | 'teams'>,
  anchor: AnchorAddress,
  writers: readonly Writer[],
): Promise<Writer[]> {
  const each = [...new Map(writers.map((writer) => [writer.author.id, writer])).values()];
  const reputes = await Promise.all(
    each.slice(0, maxAsked).map(async (writer) => ({
      writer,
      trusted: hasAuthority(await reputeOf(adapter, context, rules, { ...writer, anchor })),
    })),
  );
  return [...reputes.filter(({ trusted }) => !trusted).map(({ writer }) => writer), ...each.slice(maxAsked)];
}

/** Records that the agent was given text by people without authority, and in the session's log whose and by what. */
export async function recordOutsiders(
  tx: Transaction,
  sessions: Pick<SessionPort, 'record'>,
  at: { organizationId: string; sessionId: string; turnId: string | null },
  read: { by: string; outsiders: readonly Writer[] | undefined },
): Promise<void> {
  if (!(await markOutsidersRead(tx, at.sessionId))) return;
  await sessions.record(tx, at, 'tagalong.outsiders_read', {
    by: read.by,
    authors: read.outsiders?.slice(0, maxShown).map(({ author }) => author) ?? null,
    message:
      'The agent has read text by people without authority, or by nobody knows whom. From now on everything in this session but reading and replying in its own place needs the approval of a person.',
  });
}

export interface Reading {
  organizationId: string;
  sessionId: string;
  turnId: string | null;
  adapter: ProviderAdapter;
  tool: ProviderTool;
  input: Record<string, unknown>;
  context: ProviderContext;
  target: ToolTarget;
  askers: Askers;
  mark: string;
}

/**
 * Performs a read: elsewhere only for who has access there themselves, and on record before anything was read; whose
 * words came back is on record before the agent is given them. Throws a ProviderError when it cannot be done, also when
 * the provider does not say who the writers are.
 */
export async function performRead(
  { database, sessions }: { database: Database; sessions: Pick<SessionPort, 'record'> },
  { organizationId, sessionId, turnId, adapter, tool, input, context, target, askers, mark }: Reading,
): Promise<ToolResult> {
  const elsewhere = tool.elsewhere?.(input, target.place);
  if (elsewhere) {
    const objection = await objectionToAccess(adapter, context, elsewhere, askers.person);
    if (objection !== undefined) throw new ProviderError('refused', objection);
    const audience = await adapter.audience(context, elsewhere);
    await withOrganization(database, organizationId, (tx) => markRead(tx, sessionId, audience));
  }
  const result = await tool.perform(context, input, target, mark);
  const { anchor, rules } = askers;
  const outsiders = result.writers && (await outsidersAmong(adapter, context, rules, anchor, result.writers));
  if (outsiders === undefined || outsiders.length > 0) {
    const at = { organizationId, sessionId, turnId };
    await withOrganization(database, organizationId, (tx) =>
      recordOutsiders(tx, sessions, at, { by: tool.name, outsiders }),
    );
  }
  return result;
}
