import { and, eq, isNull } from 'drizzle-orm';
import { appendEvents } from '../../sessions/event-log.ts';
import { requestStop } from '../../sessions/stop.ts';
import type { Transaction } from '../../store/connection.ts';
import { newId } from '../../store/ids.ts';
import { withOrganization } from '../../store/organization.ts';
import { announceState } from '../../store/publication-changes.ts';
import {
  credentials,
  installations,
  publications,
  publishTokens,
  sessions,
  webhookSecrets,
} from '../../store/schema.ts';
import { endWaiting } from '../../store/waiting-deliveries.ts';
import { ApiError, notFound } from '../errors.ts';
import type { PublicationRow, PublishingDeps } from './deps.ts';

const revokeTimeoutMs = 15_000;
const us = { id: 'tagalong', name: 'Tagalong', kind: 'api' } as const;

/**
 * Ends a publication for good: the installation is taken back at the provider, its sessions end, its secrets and
 * credentials are destroyed, its webhooks are no longer accepted. Where the provider does not answer, it ends here all
 * the same, and `state_reason` says what is left to do there. Twice is as once.
 */
export async function unpublish(
  deps: PublishingDeps,
  organizationId: string,
  publicationId: string,
): Promise<PublicationRow> {
  const found = await withOrganization(deps.database, organizationId, async (tx) => {
    const [row] = await tx
      .select()
      .from(publications)
      .where(eq(publications.id, publicationId))
      .for('update');
    if (!row) throw notFound('publication', publicationId);
    const setup = { ...row.setup, ending: true as const };
    await tx.update(publications).set({ setup }).where(eq(publications.id, publicationId));
    const installed = await tx
      .select()
      .from(installations)
      .where(eq(installations.publicationId, publicationId));
    return { row, installed };
  });
  if (found.row.state === 'unpublished') return found.row;
  const left: string[] = [];
  for (const { id, identity } of found.installed) {
    const platformFetch = deps.platformFetch({ organizationId, installationId: id });
    const timeout = AbortSignal.timeout(revokeTimeoutMs);
    const fetch: typeof globalThis.fetch = (resource, init) =>
      platformFetch(resource, { ...init, signal: timeout });
    try {
      await deps.adapters[found.row.provider].publishFlow.revoke({ fetch, clock: deps.clock }, identity);
    } catch (error) {
      deps.logger.warn({ publicationId, err: error }, 'the installation was not taken back at the provider');
      left.push(identity.workspaceName ?? identity.workspaceId);
    }
  }
  const reason =
    left.length === 0
      ? null
      : `The provider did not take the installation back. Remove the app in ${left.join(', ')} by hand.`;
  return withOrganization(deps.database, organizationId, (tx) => end(deps, tx, found.row, reason));
}

async function end(
  deps: PublishingDeps,
  tx: Transaction,
  before: PublicationRow,
  stateReason: string | null,
): Promise<PublicationRow> {
  const { id, organizationId } = before;
  const now = deps.clock();
  const [row] = await tx
    .update(publications)
    .set({ state: 'unpublished', stateReason, pendingCapabilities: null, updatedAt: now })
    .where(eq(publications.id, id))
    .returning();
  if (!row) throw new ApiError('not_found_error', `There is no publication ${id}.`);
  await announceState(tx, before, row, now);
  await endWaiting(tx, id, now);
  await tx.delete(webhookSecrets).where(eq(webhookSecrets.publicationId, id));
  await tx.delete(credentials).where(eq(credentials.publicationId, id));
  await tx.update(publishTokens).set({ revokedAt: now }).where(eq(publishTokens.publicationId, id));
  const ended = await tx
    .update(sessions)
    .set({ status: 'terminated', archivedAt: now, updatedAt: now })
    .where(and(eq(sessions.publicationId, id), isNull(sessions.archivedAt)))
    .returning({ id: sessions.id });
  for (const session of ended) {
    await requestStop(tx, organizationId, session.id, us);
    await appendEvents(tx, organizationId, session.id, null, [
      { id: newId('sevt'), type: 'session.status_terminated', payload: {} },
    ]);
  }
  return row;
}
