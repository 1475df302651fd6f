import { and, desc, eq } from 'drizzle-orm';
import type { Grants } from '../capabilities/capability.ts';
import type { Database, Transaction } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { anchors, type ProviderName, publications, sessions, turns } from '../store/schema.ts';

/** The session that calls, as far as listing its tools needs it. */
export interface Caller {
  organizationId: string;
  sessionId: string;
  provider: ProviderName;
  grants: Grants;
}

/** Who calls, by the session's id that the egress process stamped. Undefined when it may not use this provider. */
export async function findCaller(
  database: Database,
  sessionId: string,
  provider: string,
): Promise<Caller | undefined> {
  // Under the owner role: the stamp names a session, and only its row says to which organization that belongs.
  const known = await database
    .select({ organizationId: sessions.organizationId })
    .from(sessions)
    .where(eq(sessions.id, sessionId));
  const organizationId = known[0]?.organizationId;
  if (organizationId === undefined) return undefined;
  const rows = await withOrganization(database, organizationId, (tx) =>
    tx
      .select({ provider: publications.provider, grants: publications.capabilities })
      .from(sessions)
      .innerJoin(publications, eq(publications.id, sessions.publicationId))
      .where(eq(sessions.id, sessionId)),
  );
  const row = rows[0];
  return row && row.provider === provider ? { organizationId, sessionId, ...row } : undefined;
}

/** What a call may do now. */
export interface Standing {
  grants: Grants;
  turn: { id: string; attempt: number } | undefined;
  anchor: { id: string; installationId: string } | undefined;
  publicationId: string;
  policy: Readonly<Record<string, unknown>>;
}

/**
 * The caller's grants, running turn and anchor, in the transaction that records the call. The session's row is locked
 * for as long, as everything is that ends a turn or takes it over: nothing changes between this look and the commit. A
 * turn that another worker runs is none of this caller's.
 */
export async function loadStanding(tx: Transaction, caller: Caller, workerId: string): Promise<Standing> {
  const locked = await tx
    .select({ holder: sessions.leaseWorkerId, publicationId: sessions.publicationId })
    .from(sessions)
    .where(eq(sessions.id, caller.sessionId))
    .for('share');
  const session = locked[0];
  const settings = await tx
    .select({ grants: publications.capabilities, policy: publications.policy })
    .from(publications)
    .where(eq(publications.id, session?.publicationId ?? ''));
  const running = await tx
    .select({ id: turns.id, attempt: turns.attempt, anchorId: turns.anchorId })
    .from(turns)
    .where(and(eq(turns.sessionId, caller.sessionId), eq(turns.state, 'running')));
  const turn = session?.holder === workerId ? running[0] : undefined;
  return {
    grants: settings[0]?.grants ?? {},
    publicationId: session?.publicationId ?? '',
    policy: settings[0]?.policy ?? {},
    turn: turn && { id: turn.id, attempt: turn.attempt },
    anchor: await findAnchor(tx, caller, turn?.anchorId ?? undefined),
  };
}

/** The turn's anchor where it is one of this provider, else the session's latest. */
async function findAnchor(tx: Transaction, caller: Caller, turnAnchorId: string | undefined) {
  const found = await tx
    .select({ id: anchors.id, installationId: anchors.installationId })
    .from(anchors)
    .where(and(eq(anchors.sessionId, caller.sessionId), eq(anchors.provider, caller.provider)))
    .orderBy(desc(anchors.createdAt), desc(anchors.id));
  return found.find((anchor) => anchor.id === turnAnchorId) ?? found[0];
}
