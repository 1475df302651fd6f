import { and, eq, isNull, or, sql } from 'drizzle-orm';
import type { Transaction } from '../../store/connection.ts';
import { credentialGrants, credentials, publications, sessions } from '../../store/schema.ts';
import { findPassthroughClaim } from '../../vault/passthrough-claims.ts';
import { ApiError } from '../errors.ts';
import {
  type Claim,
  type Claimed,
  claimsOf,
  credentialClaims,
  lentVault,
  lockVaults,
  policyVaults,
  refuseTiesAmong,
  vaultSetsOfSessions,
  vaultsOfPublication,
} from './credential-ties.ts';

const strings = (listed: unknown): string[] =>
  Array.isArray(listed) ? listed.filter((each) => typeof each === 'string') : [];

/** A grant that may still hold: one for a turn may for as long as that turn is to be expected. */
const stillLent = sql`coalesce(${credentialGrants.expiresAt}, ${credentialGrants.createdAt} + interval '1 day') > now()`;

/**
 * A credential at a host that is passed through unread can do nothing there: refused, in words, when it is set. `by` is
 * the publication, where the list is not what is being set.
 */
function refuseClaims(claimed: readonly Claimed[], hosts: readonly string[], by?: string): void {
  const field = by === undefined ? 'policy.passthrough_hosts: ' : '';
  const who = by === undefined ? '' : ` by publication ${by}`;
  for (const { id, displayName, vaultId, claim } of claimed) {
    const found = findPassthroughClaim(hosts, claim);
    if (!found) continue;
    throw new ApiError(
      'conflict_error',
      `${field}${found.entry} is passed through unread${who}, and credential ${id} (${displayName}) of vault ${vaultId} ${found.claim} there, which needs reading. Take the host off passthrough_hosts, or archive or leave out the credential.`,
    );
  }
}

/**
 * Throws where a publication passes a host through for which a credential is that its sessions use: of these vaults, of
 * those that its sessions have of their own, or of what they are lent.
 */
export async function refusePassthroughOfPolicy(
  tx: Transaction,
  hosts: readonly string[] | undefined,
  vaultIds: readonly string[],
  publicationId?: string,
): Promise<void> {
  if (!hosts || hosts.length === 0) return;
  const own = publicationId === undefined ? [] : await vaultSetsOfSessions(tx, publicationId);
  const lent =
    publicationId === undefined
      ? []
      : await tx
          .select({ vaultId: credentialGrants.vaultId, credentialId: credentialGrants.credentialId })
          .from(credentialGrants)
          .innerJoin(sessions, eq(sessions.id, credentialGrants.sessionId))
          .where(and(eq(sessions.publicationId, publicationId), isNull(sessions.archivedAt), stillLent));
  const vaults = [...new Set([...vaultIds, ...own.flat(), ...lent.flatMap((each) => each.vaultId ?? [])])];
  await lockVaults(tx, vaults);
  refuseClaims(
    [
      ...(await claimsOf(tx, vaults)),
      ...(await credentialClaims(
        tx,
        lent.flatMap((each) => each.credentialId ?? []),
      )),
    ],
    hosts,
  );
}

/**
 * Throws where a session is to have a credential for a host that its publication passes through. `beside` are the vaults
 * that it has already: they are locked together, so that none who locks some of them waits for another.
 */
export async function refusePassthroughOfSession(
  tx: Transaction,
  publicationId: string | null,
  wanted: { vaultIds: readonly string[]; credentialIds: readonly string[] },
  beside: readonly string[],
): Promise<void> {
  if (publicationId === null) return;
  // Shared, so that a list that changes meanwhile sees what is set here, or is seen here.
  const [row] = await tx
    .select({ policy: publications.policy })
    .from(publications)
    .where(eq(publications.id, publicationId))
    .for('share');
  const hosts = strings(row?.policy.passthrough_hosts);
  if (hosts.length === 0) return;
  const { vaultIds, credentialIds } = wanted;
  const lentFrom = (await credentialClaims(tx, credentialIds)).flatMap(({ vaultId }) => vaultId ?? []);
  await lockVaults(tx, [...new Set([...vaultIds, ...lentFrom, ...beside])]);
  const claimed = [...(await claimsOf(tx, vaultIds)), ...(await credentialClaims(tx, credentialIds))];
  refuseClaims(claimed, hosts, publicationId);
}

/** Throws where these vaults cannot be a session's own beside what its publication has. */
export async function refuseVaultsOfSession(
  tx: Transaction,
  publicationId: string | null,
  vaultIds: readonly string[],
): Promise<void> {
  const shared = await vaultsOfPublication(tx, publicationId);
  await refusePassthroughOfSession(tx, publicationId, { vaultIds, credentialIds: [] }, shared);
  await refuseTiesAmong(tx, [...vaultIds, ...shared]);
}

/** Throws where a vault is to have a credential for a host that a publication passes through whose sessions use the vault. */
export async function refusePassthroughOfCredential(
  tx: Transaction,
  credential: { id: string; displayName: string; vaultId: string; claim: Claim },
): Promise<void> {
  const { vaultId } = credential;
  const isUsedBySession = sql`exists (
    select from ${sessions} where ${sessions.publicationId} = ${publications.id} and ${sessions.archivedAt} is null
    and (${sessions.vaultIds} ? ${vaultId} or exists (
      select from ${credentialGrants} left join ${credentials} on ${credentials.id} = ${credentialGrants.credentialId}
      where ${credentialGrants.sessionId} = ${sessions.id} and ${lentVault} = ${vaultId} and ${stillLent})))`;
  const rows = await tx
    .select({ id: publications.id, policy: publications.policy })
    .from(publications)
    .where(
      and(
        sql`jsonb_typeof(${publications.policy}->'passthrough_hosts') = 'array'`,
        or(sql`${policyVaults} ? ${vaultId}`, isUsedBySession),
      ),
    );
  for (const { id, policy } of rows) {
    refuseClaims([credential], strings(policy.passthrough_hosts), id);
  }
}
