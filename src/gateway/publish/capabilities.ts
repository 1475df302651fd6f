import { hash } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { type GrownCapability, growthOf, narrower } from '../../capabilities/growth.ts';
import { missingScopes, requiredScopes } from '../../capabilities/scopes.ts';
import { capabilityWords } from '../../capabilities/words.ts';
import type { Transaction } from '../../store/connection.ts';
import { raiseNotice, resolveNotices } from '../../store/notices.ts';
import { withOrganization } from '../../store/organization.ts';
import { publicationTitle } from '../../store/publication-changes.ts';
import { type Grant, type PublicationState, publications } from '../../store/schema.ts';
import { ApiError } from '../errors.ts';
import { lockPublication } from './credentials.ts';
import type { PublicationRow, PublishingDeps } from './deps.ts';

/** Installed once: what it may do was shown to somebody who agreed to it. */
const agreed: ReadonlySet<PublicationState> = new Set<PublicationState>([
  'live',
  'needs_reauth',
  'suspended',
]);
const requested = 'publication.capabilities_requested';

/** What waits for an admin's word: by how much a publication would grow. */
export interface Difference {
  /** Names exactly this difference; to be given back with the approval. */
  difference: string;
  capabilities: (GrownCapability & { words: string })[];
  /** Scopes that the provider would be asked for in addition; it wants the app installed again for them. */
  scopes: string[];
  requested_at: string;
}

/** The difference that waits, from what is in force now; null where none does. Pure. */
export function pendingDifference(
  row: Pick<PublicationRow, 'id' | 'provider' | 'capabilities' | 'pendingCapabilities'>,
): Difference | null {
  const { id, provider, capabilities: current, pendingCapabilities: pending } = row;
  if (!pending) return null;
  const { capabilities, scopes } = growthOf(provider, current, pending.grants);
  if (capabilities.length === 0) return null;
  return {
    difference: hash('sha256', JSON.stringify([id, capabilities, scopes]), 'hex').slice(0, 32),
    capabilities: capabilities.map((each) => ({
      ...each,
      words: capabilityWords[provider][each.name] ?? each.name,
    })),
    scopes,
    requested_at: pending.requestedAt,
  };
}

/** Scopes that what is in force needs and the provider has not given yet, as far as that is known. Pure. */
export function scopesToInstall({
  provider,
  capabilities,
  policy,
  setup,
}: Pick<PublicationRow, 'provider' | 'capabilities' | 'policy' | 'setup'>): string[] {
  return setup.scopes === undefined
    ? []
    : missingScopes(provider, requiredScopes(provider, capabilities, policy), setup.scopes);
}

/**
 * Sets the grants of a publication that is locked. What shrinks is in force at once. What grows is so too while nobody
 * has installed it yet; afterwards it waits until an admin approves the difference, and the admins are told.
 */
export async function setCapabilities(
  tx: Transaction,
  row: PublicationRow,
  wanted: Record<string, Grant>,
  now: Date,
): Promise<void> {
  const grows =
    agreed.has(row.state) && growthOf(row.provider, row.capabilities, wanted).capabilities.length > 0;
  const capabilities = grows ? narrower(row.provider, row.capabilities, wanted) : wanted;
  const pendingCapabilities = grows ? { grants: wanted, requestedAt: now.toISOString() } : null;
  await tx
    .update(publications)
    .set({ capabilities, pendingCapabilities, updatedAt: now })
    .where(eq(publications.id, row.id));
  await resolveNotices(tx, row.id, [requested], now);
  const waiting = pendingDifference({ ...row, capabilities, pendingCapabilities });
  if (!waiting) return;
  const added = waiting.capabilities.map(({ words, to }) => `${words} (${to})`).join(', ');
  const text = `${await publicationTitle(tx, row)} shall be allowed more: ${added}. An admin has to approve it.`;
  await raiseNotice(
    tx,
    { organizationId: row.organizationId, kind: requested, publicationId: row.id, text },
    now,
  );
}

/**
 * An admin's word on the difference that waits. Approving names the difference that was shown: one that has changed
 * since is not approved by accident. Throws ApiErrors for what cannot be decided.
 */
export async function decideCapabilities(
  deps: Pick<PublishingDeps, 'database' | 'clock'>,
  organizationId: string,
  publicationId: string,
  word: { decision: 'approve'; difference: string } | { decision: 'reject' },
): Promise<void> {
  await withOrganization(deps.database, organizationId, async (tx) => {
    const row = await lockPublication(tx, publicationId);
    const waiting = pendingDifference(row);
    if (!waiting || !row.pendingCapabilities) {
      throw new ApiError('conflict_error', 'No change of capabilities waits for approval here any more.');
    }
    if (word.decision === 'approve' && word.difference !== waiting.difference) {
      throw new ApiError(
        'conflict_error',
        'What was asked for has changed since it was shown. Look at the difference again, and approve that one.',
      );
    }
    const now = deps.clock();
    await tx
      .update(publications)
      .set({
        ...(word.decision === 'approve' ? { capabilities: row.pendingCapabilities.grants } : {}),
        pendingCapabilities: null,
        updatedAt: now,
      })
      .where(eq(publications.id, row.id));
    await resolveNotices(tx, row.id, [requested], now);
  });
}
