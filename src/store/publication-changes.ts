import { and, eq } from 'drizzle-orm';
import type { Transaction } from './connection.ts';
import { raiseNotice, resolveNotices, storableText } from './notices.ts';
import { providerTitles } from './provider-titles.ts';
import { nextPublicationState, type PublicationEvent } from './publication-states.ts';
import {
  agents,
  agentVersions,
  installations,
  type NoticeKind,
  type PublicationSetup,
  type PublicationState,
  publications,
} from './schema.ts';
import { resumeWaiting } from './waiting-deliveries.ts';

type PublicationRow = typeof publications.$inferSelect;

/**
 * What happened to a publication, in the caller's transaction: its state by the table, the reason, and word to the
 * admins. Answers the publication as it is then; undefined where the event changes nothing.
 */
export async function changePublicationState(
  tx: Transaction,
  publicationId: string,
  event: PublicationEvent,
  reason: string | null,
  now: Date,
  /** Only out of this state. */
  from?: PublicationState,
): Promise<PublicationRow | undefined> {
  const [row] = await tx.select().from(publications).where(eq(publications.id, publicationId)).for('update');
  const state = row && nextPublicationState(row.state, event);
  if (!row || !state || state === row.state || (from && from !== row.state)) return undefined;
  if (row.setup.ending && event === 'revoked') return undefined;
  const stateReason = reason === null ? null : storableText(reason);
  const change = { state, stateReason, setup: setupIn(row, state, now), updatedAt: now };
  await tx.update(publications).set(change).where(eq(publications.id, publicationId));
  const changed = { ...row, ...change };
  await announceState(tx, row, changed, now);
  if (state === 'live') await resumeWaiting(tx, changed);
  return changed;
}

/** What is remembered of a publication's setup in its next state: since when it is live again. Pure. */
export function setupIn(
  { state, setup }: Pick<PublicationRow, 'state' | 'setup'>,
  next: PublicationState,
  now: Date,
): PublicationSetup {
  const ceased = state === 'needs_reauth' || state === 'suspended';
  return ceased && next === 'live' ? { ...setup, resumedAt: now.toISOString() } : setup;
}

/**
 * Tells the admins of a state that was just written: that a publication wants something of them, and that it works
 * again. What is over is closed.
 */
export async function announceState(
  tx: Transaction,
  before: Pick<PublicationRow, 'state'>,
  after: PublicationRow,
  now: Date,
): Promise<void> {
  const { id, organizationId, state } = after;
  if (before.state === state) return;
  const closed = await resolveNotices(
    tx,
    id,
    ['publication.needs_reauth', 'publication.suspended', ...(state === 'unpublished' ? [pending] : [])],
    now,
  );
  const told = { organizationId, publicationId: id };
  if (state === 'needs_reauth' || state === 'suspended') {
    const text = `${await publicationTitle(tx, after)} ${words[state]} ${after.stateReason ?? ''}`.trim();
    await raiseNotice(tx, { ...told, kind: `publication.${state}`, text }, now);
  } else if (state === 'live' && closed > 0) {
    const text = `${await publicationTitle(tx, after)} works again. What waited is answered now.`;
    await raiseNotice(tx, { ...told, kind: 'publication.live', text, settled: true }, now);
  }
}

const pending: NoticeKind = 'publication.capabilities_requested';
const words = { needs_reauth: 'needs to be installed again.', suspended: 'is suspended.' } as const;

/** `Grace in Slack (Acme)`: how people know a publication. */
export async function publicationTitle(
  tx: Transaction,
  { id, agentId, provider, setup }: Pick<PublicationRow, 'id' | 'agentId' | 'provider' | 'setup'>,
): Promise<string> {
  const [persona] = await tx
    .select({ name: agentVersions.name })
    .from(agents)
    .innerJoin(
      agentVersions,
      and(eq(agentVersions.agentId, agents.id), eq(agentVersions.version, agents.version)),
    )
    .where(eq(agents.id, agentId));
  const [installation] = await tx
    .select({ identity: installations.identity })
    .from(installations)
    .where(eq(installations.publicationId, id));
  const workspace = installation?.identity.workspaceName;
  const name = setup.name ?? persona?.name ?? agentId;
  return `${name} in ${providerTitles[provider]}${workspace ? ` (${workspace})` : ''}`;
}
