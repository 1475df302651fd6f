import { and, eq, sql } from 'drizzle-orm';
import type { AnchorAddress } from '../providers/provider.ts';
import type { Transaction } from '../store/connection.ts';
import { newId } from '../store/ids.ts';
import { agents, anchors, type installations, type publications, sessions } from '../store/schema.ts';

export type PublicationRow = typeof publications.$inferSelect;
export type InstallationRow = typeof installations.$inferSelect;

export interface AnchoredSession {
  anchorId: string;
  sessionId: string;
}

/** The session that listens at this place, if there is one. */
export async function findAnchor(
  tx: Transaction,
  publicationId: string,
  key: string,
): Promise<AnchoredSession | undefined> {
  const found = await tx
    .select({ anchorId: anchors.id, sessionId: anchors.sessionId })
    .from(anchors)
    .where(and(eq(anchors.publicationId, publicationId), eq(anchors.key, key)));
  return found[0];
}

/**
 * The session that listens at this place, made on first contact with the agent's current version. Two first contacts
 * at once make one session.
 */
export async function ensureAnchor(
  tx: Transaction,
  publication: PublicationRow,
  installation: InstallationRow,
  address: AnchorAddress,
): Promise<AnchoredSession> {
  const existing = await findAnchor(tx, publication.id, address.key);
  if (existing) return existing;
  await tx.execute(
    sql`select pg_advisory_xact_lock(hashtextextended(${`${publication.id} ${address.key}`}, 0))`,
  );
  const meanwhile = await findAnchor(tx, publication.id, address.key);
  if (meanwhile) return meanwhile;

  const { organizationId } = publication;
  const agent = await tx
    .select({ version: agents.version })
    .from(agents)
    .where(eq(agents.id, publication.agentId));
  const version = agent[0]?.version;
  if (version === undefined)
    throw new Error(`Agent ${publication.agentId} of publication ${publication.id} is missing.`);
  const sessionId = newId('sesn');
  const anchorId = newId('anchor');
  await tx.insert(sessions).values({
    id: sessionId,
    organizationId,
    agentId: publication.agentId,
    agentVersion: version,
    publicationId: publication.id,
    installationId: installation.id,
    title: address.title?.slice(0, 200) ?? null,
  });
  await tx.insert(anchors).values({
    id: anchorId,
    organizationId,
    publicationId: publication.id,
    installationId: installation.id,
    sessionId,
    provider: publication.provider,
    key: address.key,
    place: address.place,
  });
  return { anchorId, sessionId };
}
