import { and, eq, inArray, isNull, sql } from 'drizzle-orm';
import type { Transaction } from '../../store/connection.ts';
import { credentialGrants, credentials, publications, sessions, vaults } from '../../store/schema.ts';
import { parseCredentialRule, rulesTie } from '../../vault/credential-rules.ts';
import type { VaultCredentialDetail } from '../../vault/vault-credential.ts';
import { ApiError } from '../errors.ts';

/** What of a credential decides which requests it stands for. */
export type Claim = Pick<VaultCredentialDetail, 'rule' | 'variable' | 'oauth'>;

/** A credential that is there, and what it claims. */
export interface Claimed {
  id: string;
  displayName: string;
  vaultId: string | null;
  claim: Claim;
}

/** In which way two would claim the same; undefined when they do not. */
function tie(a: Claim, b: Claim): 'variable' | 'requests' | undefined {
  if (a.variable && b.variable) return a.variable.name === b.variable.name ? 'variable' : undefined;
  const rule = a.rule && parseCredentialRule(a.rule);
  const other = b.rule && parseCredentialRule(b.rule);
  return rule && other && rulesTie(rule, other) ? 'requests' : undefined;
}

/** What the credentials of these vaults claim. */
export async function claimsOf(tx: Transaction, vaultIds: readonly string[]): Promise<Claimed[]> {
  if (vaultIds.length === 0) return [];
  const rows = await tx
    .select()
    .from(credentials)
    .where(and(inArray(credentials.vaultId, [...vaultIds]), isNull(credentials.archivedAt)))
    .orderBy(credentials.id);
  return rows.map(claimedBy);
}

/** What single credentials claim. */
export async function credentialClaims(tx: Transaction, ids: readonly string[]): Promise<Claimed[]> {
  if (ids.length === 0) return [];
  const rows = await tx
    .select()
    .from(credentials)
    .where(and(inArray(credentials.id, [...ids]), isNull(credentials.archivedAt)));
  return rows.map(claimedBy);
}

const claimedBy = ({ id, displayName, vaultId, detail }: typeof credentials.$inferSelect): Claimed => ({
  ...{ id, displayName, vaultId },
  claim: detail as unknown as VaultCredentialDetail,
});

/** So that of two changes that may not both be, the later one sees the earlier. */
export async function lockVaults(tx: Transaction, vaultIds: readonly string[]): Promise<void> {
  if (vaultIds.length === 0) return;
  await tx
    .select({ id: vaults.id })
    .from(vaults)
    .where(inArray(vaults.id, [...vaultIds]))
    .orderBy(vaults.id)
    .for('update');
}

/** Vaults and single credentials that one session is to have together: refuses two that would claim the same request. */
export async function refuseTiesAmong(
  tx: Transaction,
  vaultIds: readonly string[],
  credentialIds: readonly string[] = [],
): Promise<void> {
  const together = [...new Set(vaultIds)];
  if (together.length > 1) await lockVaults(tx, together);
  const claimed = await claimsOf(tx, together);
  const single = credentialIds.filter((id) => !claimed.some((each) => each.id === id));
  claimed.push(...(await credentialClaims(tx, single)));
  for (const [i, one] of claimed.entries()) {
    for (const other of claimed.slice(i + 1)) {
      const same = tie(one.claim, other.claim);
      if (!same) continue;
      throw new ApiError(
        'conflict_error',
        `Credential ${one.id} (${one.displayName}) of vault ${one.vaultId} and ${other.id} (${other.displayName}) of vault ${other.vaultId} stand for the same ${same}, so they cannot be used together. Change or archive one of the two, or leave out its vault.`,
      );
    }
  }
}

/** Two that would claim the same request alike are refused now, not guessed between later. */
export async function refuseTie(tx: Transaction, vaultId: string, own: string, claim: Claim): Promise<void> {
  const together = await usedTogether(tx, vaultId);
  for (const other of await claimsOf(tx, [vaultId, ...together])) {
    const same = other.id === own ? undefined : tie(claim, other.claim);
    if (!same) continue;
    const where =
      other.vaultId === vaultId ? '' : ` of vault ${other.vaultId}, which is used together with this one,`;
    throw new ApiError(
      'conflict_error',
      `Credential ${other.id} (${other.displayName})${where} stands for the same ${same}. Change or archive that one, or name another host, path or method.`,
    );
  }
}

/** The vaults of a publication's policy, as JSON. */
export const policyVaults = sql`case when jsonb_typeof(${publications.policy}->'vault_ids') = 'array' then ${publications.policy}->'vault_ids' else '[]'::jsonb end`;

/** Of a grant, beside the credential that it is for. */
export const lentVault = sql`coalesce(${credentialGrants.vaultId}, ${credentials.vaultId})`;

/** The vaults that some session or publication uses beside this one. */
async function usedTogether(tx: Transaction, vaultId: string): Promise<string[]> {
  const { rows } = await tx.execute<{ id: string }>(sql`
    with together as (
      select ${sessions.vaultIds} || coalesce(${policyVaults}, '[]'::jsonb) as ids
      from ${sessions} left join ${publications} on ${publications.id} = ${sessions.publicationId}
      where ${sessions.archivedAt} is null
      union
      select ${policyVaults} from ${publications}
      union
      select ${sessions.vaultIds} || coalesce(${policyVaults}, '[]'::jsonb) || jsonb_build_array(${lentVault})
      from ${credentialGrants}
      join ${sessions} on ${sessions.id} = ${credentialGrants.sessionId}
      left join ${credentials} on ${credentials.id} = ${credentialGrants.credentialId}
      left join ${publications} on ${publications.id} = ${sessions.publicationId}
      where coalesce(${credentialGrants.expiresAt}, ${credentialGrants.createdAt} + interval '1 day') > now()
    )
    select distinct jsonb_array_elements_text(ids) as id from together where ids ? ${vaultId}`);
  return rows.map(({ id }) => id);
}

/** The vaults that a publication's policy names, for the sessions that are to have them too. */
export async function vaultsOfPublication(tx: Transaction, publicationId: string | null): Promise<string[]> {
  if (publicationId === null) return [];
  const [row] = await tx
    .select({ policy: publications.policy })
    .from(publications)
    .where(eq(publications.id, publicationId));
  const listed = row?.policy.vault_ids;
  return Array.isArray(listed) ? listed.filter((id) => typeof id === 'string') : [];
}

/** The different sets of vaults that the sessions of a publication have of their own. */
export async function vaultSetsOfSessions(tx: Transaction, publicationId: string): Promise<string[][]> {
  const rows = await tx
    .selectDistinct({ vaultIds: sessions.vaultIds })
    .from(sessions)
    .where(
      and(
        eq(sessions.publicationId, publicationId),
        isNull(sessions.archivedAt),
        sql`${sessions.vaultIds} <> '[]'::jsonb`,
      ),
    );
  return rows.map(({ vaultIds }) => vaultIds);
}
