import { and, eq } from 'drizzle-orm';
import type { Database } from '../../store/connection.ts';
import { withOrganization } from '../../store/organization.ts';
import { anchors, publications, sessions } from '../../store/schema.ts';
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
        publicationId: publications.id,
        provider: publications.provider,
        state: publications.state,
        emulated: publications.emulated,
        capabilities: publications.capabilities,
        policy: publications.policy,
      })
      .from(sessions)
      .leftJoin(publications, eq(publications.id, sessions.publicationId))
      .where(eq(sessions.id, sessionId));
    if (!row) return undefined;
    const places = await tx
      .select({ place: anchors.place })
      .from(anchors)
      .where(and(eq(anchors.sessionId, sessionId), eq(anchors.provider, 'github')));
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
      allowedHosts: readAllowedHosts(row.policy),
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

function repositoriesOf(places: readonly Record<string, string>[]): string[] {
  const names = places
    .filter(({ owner, repo }) => owner && repo)
    .map(({ owner, repo }) => `${owner}/${repo}`.toLowerCase());
  return [...new Set(names)];
}
