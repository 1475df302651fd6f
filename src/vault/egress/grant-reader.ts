import { and, desc, eq, lt, ne } from 'drizzle-orm';
import type { Transaction } from '../../store/connection.ts';
import { credentialGrants, type GrantSpan, turns } from '../../store/schema.ts';

/** What a session was granted for a while. Times in ms. */
export interface Grant {
  vaultId: string | null;
  credentialId: string | null;
  span: GrantSpan;
  turnId: string | null;
  expiresAt: number | null;
  createdAt: number;
}

/** The turn that runs, and when the one before it began. */
export interface RunningTurn {
  id: string;
  startedAt: number;
  previousStartedAt: number | null;
}

/** The next turn after a grant is the one before whose start, and after whose predecessor's start, it was made. Pure. */
export function isGranted(grant: Grant, running: RunningTurn | undefined, nowMs: number): boolean {
  switch (grant.span) {
    case 'until':
      return grant.expiresAt !== null && grant.expiresAt > nowMs;
    case 'current_turn':
      return running !== undefined && grant.turnId === running.id;
    case 'next_turn':
      return (
        running !== undefined &&
        grant.createdAt < running.startedAt &&
        (running.previousStartedAt === null || grant.createdAt >= running.previousStartedAt)
      );
  }
}

/** More grants than anybody makes for one session. */
const maxGrants = 200;

/** The grants that hold now. Which turn runs is the database's word, not the worker's. */
export async function readGrants(tx: Transaction, sessionId: string, nowMs: number): Promise<Grant[]> {
  const rows = await tx
    .select()
    .from(credentialGrants)
    .where(eq(credentialGrants.sessionId, sessionId))
    .orderBy(desc(credentialGrants.createdAt))
    .limit(maxGrants);
  if (rows.length === 0) return [];
  const running = await readRunningTurn(tx, sessionId);
  return rows
    .map((row) => ({
      ...row,
      expiresAt: row.expiresAt?.getTime() ?? null,
      createdAt: row.createdAt.getTime(),
    }))
    .filter((grant) => isGranted(grant, running, nowMs));
}

async function readRunningTurn(tx: Transaction, sessionId: string): Promise<RunningTurn | undefined> {
  const [running] = await tx
    .select({ id: turns.id, startedAt: turns.startedAt })
    .from(turns)
    .where(and(eq(turns.sessionId, sessionId), eq(turns.state, 'running')));
  if (!running) return undefined;
  const [previous] = await tx
    .select({ startedAt: turns.startedAt })
    .from(turns)
    .where(
      and(eq(turns.sessionId, sessionId), ne(turns.id, running.id), lt(turns.startedAt, running.startedAt)),
    )
    .orderBy(desc(turns.startedAt))
    .limit(1);
  return {
    id: running.id,
    startedAt: running.startedAt.getTime(),
    previousStartedAt: previous?.startedAt.getTime() ?? null,
  };
}
