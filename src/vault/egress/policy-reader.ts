import { and, eq, inArray, isNull } from 'drizzle-orm';
import type { Database, Transaction } from '../../store/connection.ts';
import { withOrganization } from '../../store/organization.ts';
import { hasReadOutsiders } from '../../store/outsiders.ts';
import { anchors, credentials, installations, publications, sessions, vaults } from '../../store/schema.ts';
import {
  type ReadVaultCredential,
  readVaultCredential,
  type VaultCredentialDetail,
} from '../vault-credential.ts';
import { type HostPattern, parseHostPattern } from './host-names.ts';
import type { SessionPolicy } from './session-policy.ts';

/**
 * Reads what a session may do from the database, which alone is believed about it. Undefined when this organization
 * has no such session.
 */
export function readSessionPolicy(
  database: Database,
  organizationId: string,
  sessionId: string,
): Promise<SessionPolicy | undefined> {
  return withOrganization(database, organizationId, async (tx) => {
    const [row] = await tx
      .select({
        status: sessions.status,
        archivedAt: sessions.archivedAt,
        installationId: sessions.installationId,
        identity: installations.identity,
        publicationId: publications.id,
        provider: publications.provider,
        state: publications.state,
        emulated: publications.emulated,
        capabilities: publications.capabilities,
        policy: publications.policy,
        vaultIds: sessions.vaultIds,
      })
      .from(sessions)
      .leftJoin(publications, eq(publications.id, sessions.publicationId))
      .leftJoin(installations, eq(installations.id, sessions.installationId))
      .where(eq(sessions.id, sessionId));
    if (!row) return undefined;
    const places = await tx
      .select({ place: anchors.place })
      .from(anchors)
      .where(and(eq(anchors.sessionId, sessionId), eq(anchors.provider, 'github')));
    const vaultIds = [...new Set([...row.vaultIds, ...readVaultIds(row.policy)])];
    return {
      organizationId,
      sessionId,
      ended: row.archivedAt !== null || row.status === 'terminated',
      publication:
        row.publicationId !== null && row.provider !== null
          ? {
              id: row.publicationId,
              provider: row.provider,
              live: row.state === 'live',
              emulated: row.emulated ?? false,
              grants: row.capabilities ?? {},
            }
          : null,
      installationId: row.installationId,
      readOutsiders: await hasReadOutsiders(tx, sessionId),
      slug: row.identity?.handle ?? null,
      allowedHosts: readAllowedHosts(row.policy),
      credentials: await readVaults(tx, vaultIds),
      repositories: repositoriesOf(places.map(({ place }) => place)),
    };
  });
}

/** What cannot be understood allows nothing. */
function readAllowedHosts(policy: Record<string, unknown> | null): HostPattern[] {
  const listed = policy?.allowed_hosts;
  if (!Array.isArray(listed)) return [];
  return listed.map(parseHostPattern).filter((pattern) => pattern !== undefined);
}

function readVaultIds(policy: Record<string, unknown> | null): string[] {
  const listed = policy?.vault_ids;
  return Array.isArray(listed) ? listed.filter((id) => typeof id === 'string') : [];
}

async function readVaults(tx: Transaction, vaultIds: readonly string[]): Promise<ReadVaultCredential[]> {
  if (vaultIds.length === 0) return [];
  const rows = await tx
    .select({ credential: credentials, vaultId: credentials.vaultId })
    .from(credentials)
    .innerJoin(vaults, eq(vaults.id, credentials.vaultId))
    .where(
      and(
        inArray(credentials.vaultId, [...vaultIds]),
        isNull(credentials.archivedAt),
        isNull(vaults.archivedAt),
      ),
    )
    .orderBy(credentials.id);
  const byVault = Map.groupBy(rows, ({ vaultId }) => vaultId);
  return vaultIds
    .flatMap((id) => byVault.get(id) ?? [])
    .flatMap(({ credential: { id, version, kind, displayName, sealed, detail } }) => {
      const row = {
        id,
        version,
        kind,
        displayName,
        sealed,
        detail: detail as unknown as VaultCredentialDetail,
      };
      return readVaultCredential(row) ?? [];
    });
}

function repositoriesOf(places: readonly Record<string, string>[]): string[] {
  const names = places
    .filter(({ owner, repo }) => owner && repo)
    .map(({ owner, repo }) => `${owner}/${repo}`.toLowerCase());
  return [...new Set(names)];
}
