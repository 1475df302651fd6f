import { and, desc, eq, isNull, ne, notInArray, sql } from 'drizzle-orm';
import { resumeSending } from '../../outbound/sweep.ts';
import { ProviderError } from '../../providers/provider.ts';
import type { Transaction } from '../../store/connection.ts';
import { clientKinds } from '../../store/credential-kinds.ts';
import { newId } from '../../store/ids.ts';
import { withOrganization } from '../../store/organization.ts';
import { announceState, setupIn } from '../../store/publication-changes.ts';
import { nextPublicationState } from '../../store/publication-states.ts';
import { credentials, type InstallationIdentity, installations, publications } from '../../store/schema.ts';
import { resumeWaiting } from '../../store/waiting-deliveries.ts';
import { credentialTtlMs } from '../../vault/credential-store.ts';
import type { GatewayAdapter, GatewayDeps } from '../deps.ts';
import { ApiError, notFound } from '../errors.ts';
import { lockPublication } from './credentials.ts';
import type { PublicationRow } from './deps.ts';

/** What confirming needs; no secret is opened for it. */
export type ConfirmDeps = Pick<GatewayDeps, 'database' | 'platformFetch' | 'clock' | 'logger'> & {
  adapters: Readonly<Record<PublicationRow['provider'], Pick<GatewayAdapter, 'whoAmI' | 'publishFlow'>>>;
};

export interface ConfirmOptions {
  /** Just this credential; else the newest that the publication has. */
  credentialId?: string;
  /** An installation that an address named. Counts only when the provider confirms it. */
  installationId?: string;
  /** Nobody waits for the answer: what is known already, and why, is not written anew. */
  inBackground?: boolean;
}

const installAgain = 'Install it again to go on; messages wait meanwhile.';
/** How long a provider may take to say who we are. */
const confirmTimeoutMs = 15_000;
/** When what waited is tried again: once no process remembers the credential that was replaced. */
const settleMs = credentialTtlMs + 250;

/**
 * Asks the provider who the publication's credentials are. Confirmed, it is `live` with one installation, and what
 * waited is sent; else its state and `state_reason` say in words what the provider said. Answers the publication as it
 * is then. Throws where there is nothing to confirm, or where it is another workspace than before.
 */
export async function confirmPublication(
  deps: ConfirmDeps,
  organizationId: string,
  publicationId: string,
  options: ConfirmOptions = {},
): Promise<PublicationRow> {
  const { publication, credentialId, detail } = await withOrganization(deps.database, organizationId, (tx) =>
    load(tx, publicationId, options),
  );
  const answer = await askWhoWeAre(deps, publication, credentialId, detail);
  const settling = withOrganization(deps.database, organizationId, async (tx) => {
    const locked = await lockPublication(tx, publicationId);
    const now = deps.clock();
    if (!answer.ok) {
      // A number from an address that is none of ours says nothing of the installation that works.
      if (options.installationId && locked.state === 'live' && !answer.unauthorized) return locked;
      const state = answer.unauthorized ? nextPublicationState(locked.state, 'revoked') : locked.state;
      if (options.inBackground && (state === locked.state || locked.state === 'suspended')) return locked;
      const stateReason =
        state === 'needs_reauth' ? `${answer.message.replace(/\.$/, '')}. ${installAgain}` : answer.message;
      return update(tx, locked, { state, stateReason, updatedAt: now }, now);
    }
    const { scopes, ...identity } = answer.identity;
    const installationId = await recordInstallation(tx, deps, locked, identity, now);
    await adoptCredential(tx, publicationId, credentialId, installationId, now);
    const resumesAt = new Date(now.getTime() + settleMs);
    await resumeSending(tx, publicationId, resumesAt);
    await resumeWaiting(tx, locked, resumesAt);
    const state = nextPublicationState(locked.state, 'installed');
    const { appId, handle } = identity;
    const { namedBySlug } = deps.adapters[locked.provider].publishFlow;
    const given = scopes ?? scopesIn(detail);
    return update(
      tx,
      locked,
      {
        state,
        stateReason: null,
        setup: {
          ...setupIn(locked, state, now),
          ...(appId ? { appId } : {}),
          ...(handle && namedBySlug ? { slug: handle } : {}),
          ...(given ? { scopes: given } : {}),
        },
        updatedAt: now,
      },
      now,
    );
  });
  const settled = await settling.catch(async (error: unknown) => {
    if (error instanceof ApiError) await dropCredential(deps, organizationId, credentialId);
    throw error;
  });
  if (settled.state === 'live' && publication.state !== 'live') await resumeRouting(deps, publicationId);
  return settled;
}

async function load(tx: Transaction, publicationId: string, options: ConfirmOptions) {
  const [publication] = await tx.select().from(publications).where(eq(publications.id, publicationId));
  if (!publication) throw notFound('publication', publicationId);
  if (publication.state === 'unpublished') {
    throw new ApiError('conflict_error', `Publication ${publicationId} is unpublished.`);
  }
  const found = await tx
    .select({ id: credentials.id, detail: credentials.detail })
    .from(credentials)
    .where(and(eq(credentials.publicationId, publicationId), notInArray(credentials.kind, [...clientKinds])))
    .orderBy(desc(credentials.id));
  const credential = options.credentialId ? found.find(({ id }) => id === options.credentialId) : found[0];
  if (!credential) {
    throw new ApiError(
      'conflict_error',
      `Publication ${publicationId} is not installed at the provider yet: there is no token to ask with.`,
    );
  }
  const [installation] = await tx
    .select()
    .from(installations)
    .where(eq(installations.publicationId, publicationId));
  const known = publication.state === 'live' ? installation?.identity.workspaceId : undefined;
  const installationId = options.installationId ?? credential.detail.installation_id ?? known;
  const detail = { ...credential.detail, ...(installationId ? { installation_id: installationId } : {}) };
  return { publication, credentialId: credential.id, detail };
}

/** What came with the token, as its exchange kept it. */
function scopesIn({ scope }: Record<string, unknown>): string[] | undefined {
  return typeof scope === 'string' ? scope.split(',') : undefined;
}

async function update(
  tx: Transaction,
  row: PublicationRow,
  change: Partial<PublicationRow>,
  now: Date,
): Promise<PublicationRow> {
  const [updated] = await tx.update(publications).set(change).where(eq(publications.id, row.id)).returning();
  if (!updated) throw notFound('publication', row.id);
  await announceState(tx, row, updated, now);
  return updated;
}

type WhoAmIAnswer =
  | { ok: true; identity: InstallationIdentity & { scopes?: string[] } }
  | { ok: false; unauthorized: boolean; message: string };

async function askWhoWeAre(
  deps: ConfirmDeps,
  publication: PublicationRow,
  credentialId: string,
  detail: Record<string, unknown>,
): Promise<WhoAmIAnswer> {
  const { organizationId, id, provider } = publication;
  const plainDetail = Object.fromEntries(Object.entries(detail).map(([key, value]) => [key, String(value)]));
  const platformFetch = deps.platformFetch({ organizationId, installationId: credentialId });
  const timeout = AbortSignal.timeout(confirmTimeoutMs);
  const timedFetch: typeof fetch = (resource, init) =>
    platformFetch(resource, {
      ...init,
      signal: init?.signal ? AbortSignal.any([init.signal, timeout]) : timeout,
    });
  try {
    return { ok: true, identity: await deps.adapters[provider].whoAmI({ fetch: timedFetch }, plainDetail) };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    deps.logger.warn({ publicationId: id, err: error }, 'the provider did not confirm the credentials');
    return {
      ok: false,
      unauthorized: error instanceof ProviderError && error.code === 'unauthorized',
      message: `${provider} did not confirm the credentials: ${said}`,
    };
  }
}

/**
 * One publication, one installation: the same workspace again is the same row, and so is GitHub's new number for the
 * same account after the app was installed anew, so that what waits for it is still sent.
 */
async function recordInstallation(
  tx: Transaction,
  { adapters }: Pick<ConfirmDeps, 'adapters'>,
  publication: PublicationRow,
  identity: InstallationIdentity,
  now: Date,
): Promise<string> {
  const { id: publicationId, organizationId, provider } = publication;
  const known = await tx
    .select()
    .from(installations)
    .where(eq(installations.publicationId, publicationId))
    .orderBy(installations.id);
  const same =
    known.find((row) => row.identity.workspaceId === identity.workspaceId) ??
    known.find(
      (row) =>
        adapters[provider].publishFlow.namedBySlug && row.identity.workspaceName === identity.workspaceName,
    );
  if (same) {
    const formerIds = formerIdsOf(same.identity, identity.workspaceId);
    await tx
      .update(installations)
      .set({ identity: { ...identity, ...(formerIds.length > 0 && { formerIds }) }, updatedAt: now })
      .where(eq(installations.id, same.id));
    return same.id;
  }
  const [other] = known;
  if (other) {
    throw new ApiError(
      'conflict_error',
      `This publication is installed in ${other.identity.workspaceName ?? other.identity.workspaceId} already. For ${identity.workspaceName ?? identity.workspaceId}, publish the agent once more.`,
    );
  }
  const id = newId('inst');
  await tx.insert(installations).values({ id, organizationId, publicationId, provider, identity });
  return id;
}

const maxFormerIds = 10;

/** The ids by which a workspace was known before, for what was sent then and is read later. Pure. */
function formerIdsOf({ workspaceId, formerIds = [] }: InstallationIdentity, current: string): string[] {
  const known = new Set([workspaceId, ...formerIds]);
  known.delete(current);
  return [...known].slice(0, maxFormerIds);
}

/** The credential that was confirmed becomes the installation's; what it replaces is destroyed. */
async function adoptCredential(
  tx: Transaction,
  publicationId: string,
  credentialId: string,
  installationId: string,
  now: Date,
): Promise<void> {
  const [adopted] = await tx
    .update(credentials)
    .set({ installationId, updatedAt: now })
    .where(eq(credentials.id, credentialId))
    .returning();
  // Another confirmation replaced it meanwhile: that one's is in force.
  if (!adopted) return;
  await tx
    .delete(credentials)
    .where(
      and(
        eq(credentials.publicationId, publicationId),
        ne(credentials.id, credentialId),
        eq(credentials.kind, adopted.kind),
        sql`${credentials.installationId} is not null`,
      ),
    );
}

/** A credential that was refused, as one of another workspace, is not what the next confirmation asks with. */
async function dropCredential({ database }: ConfirmDeps, organizationId: string, id: string): Promise<void> {
  await withOrganization(database, organizationId, (tx) =>
    tx.delete(credentials).where(and(eq(credentials.id, id), isNull(credentials.installationId))),
  );
}

/** Deliveries whose authors could not be asked about meanwhile are routed now, and not when their patience says. */
async function resumeRouting({ database }: ConfirmDeps, publicationId: string): Promise<void> {
  await database.execute(sql`
    select graphile_worker.reschedule_jobs(array_agg(j.id), now() + ${settleMs} * interval '1 millisecond')
    from graphile_worker.jobs j
    join graphile_worker._private_jobs p on p.id = j.id
    join deliveries d on d.id = p.payload->>'deliveryId'
    where j.task_identifier = 'route' and j.locked_at is null
      and d.publication_id = ${publicationId} and d.outcome = 'pending'
    having count(*) > 0`);
}
