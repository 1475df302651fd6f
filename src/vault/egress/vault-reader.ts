import { and, eq, inArray, isNull, or } from 'drizzle-orm';
import type { Transaction } from '../../store/connection.ts';
import { credentials, vaults } from '../../store/schema.ts';
import {
  type ReadVaultCredential,
  readVaultCredential,
  type VaultCredentialDetail,
} from '../vault-credential.ts';
import type { Grant } from './grant-reader.ts';

/**
 * The credentials of these vaults, as the vaults are listed, and after them what is granted for a while. What is
 * archived, or whose rule cannot be understood, is left out.
 */
export async function readVaults(
  tx: Transaction,
  vaultIds: readonly string[],
  grants: readonly Grant[],
): Promise<ReadVaultCredential[]> {
  const granted = grants.flatMap(({ vaultId }) => vaultId ?? []);
  const single = grants.flatMap(({ credentialId }) => credentialId ?? []);
  if (vaultIds.length + granted.length + single.length === 0) return [];
  const rows = await tx
    .select({ credential: credentials, vaultId: vaults.id })
    .from(credentials)
    .innerJoin(vaults, eq(vaults.id, credentials.vaultId))
    .where(
      and(
        or(inArray(credentials.vaultId, [...vaultIds, ...granted]), inArray(credentials.id, single)),
        isNull(credentials.archivedAt),
        isNull(vaults.archivedAt),
      ),
    )
    .orderBy(credentials.id);
  const own = new Set(vaultIds);
  const listed = vaultIds.flatMap((id) => rows.filter((row) => row.vaultId === id));
  const lent = rows.filter((row) => !own.has(row.vaultId));
  return [...listed, ...lent].flatMap(({ credential, vaultId }) => {
    const { id, version, kind, displayName, sealed } = credential;
    const detail = credential.detail as unknown as VaultCredentialDetail;
    const read = readVaultCredential({ id, version, kind, displayName, sealed, detail });
    if (!read) return [];
    return own.has(vaultId) ? [read] : [{ ...read, until: endOf(grants, id, vaultId) }];
  });
}

/** The latest end of the grants for a credential; undefined when one of them ends with a turn. */
function endOf(grants: readonly Grant[], id: string, vaultId: string): number | undefined {
  const ends = grants
    .filter((grant) => grant.credentialId === id || grant.vaultId === vaultId)
    .map(({ expiresAt }) => expiresAt);
  return ends.includes(null) ? undefined : Math.max(...ends.flatMap((end) => end ?? []));
}
