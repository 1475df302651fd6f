import { and, eq } from 'drizzle-orm';
import type { Database, Transaction } from '../../store/connection.ts';
import { withOrganization } from '../../store/organization.ts';
import { hasReadOutsiders } from '../../store/outsiders.ts';
import { anchors, environments, installations, publications, sessions } from '../../store/schema.ts';
import { parseAllowedHosts } from './allowed-hosts.ts';
import { readGrants } from './grant-reader.ts';
import { type HostPattern, parseHostPattern } from './host-names.ts';
import { type Networking, noNetworking, readNetworking } from './networking.ts';
import type { SessionPolicy } from './session-policy.ts';
import { readVaults } from './vault-reader.ts';

/**
 * Reads what a session may do from the database, which alone is believed about it. Undefined when this organization
 * has no such session.
 */
export function readSessionPolicy(
  database: Database,
  organizationId: string,
  sessionId: string,
  nowMs: number,
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
        environmentId: sessions.environmentId,
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
      allowedHosts: parseAllowedHosts(row.policy?.allowed_hosts),
      passthroughHosts: readHosts(row.policy?.passthrough_hosts),
      networking: await readEnvironment(tx, row.environmentId, row.policy),
      credentials: await readVaults(tx, vaultIds, await readGrants(tx, sessionId, nowMs)),
      repositories: repositoriesOf(places.map(({ place }) => place)),
    };
  });
}

/** Of the session's own environment, else of its publication's. */
async function readEnvironment(
  tx: Transaction,
  own: string | null,
  policy: Record<string, unknown> | null,
): Promise<Networking> {
  const id = own ?? policy?.environment_id;
  if (typeof id !== 'string') return noNetworking;
  const [row] = await tx
    .select({ config: environments.config })
    .from(environments)
    .where(eq(environments.id, id));
  return readNetworking(row?.config);
}

/** What cannot be understood allows nothing. */
function readHosts(listed: unknown): HostPattern[] {
  if (!Array.isArray(listed)) return [];
  return listed.map(parseHostPattern).filter((pattern) => pattern !== undefined);
}

function readVaultIds(policy: Record<string, unknown> | null): string[] {
  const listed = policy?.vault_ids;
  return Array.isArray(listed) ? listed.filter((id) => typeof id === 'string') : [];
}

function repositoriesOf(places: readonly Record<string, string>[]): string[] {
  const names = places
    .filter(({ owner, repo }) => owner && repo)
    .map(({ owner, repo }) => `${owner}/${repo}`.toLowerCase());
  return [...new Set(names)];
}
