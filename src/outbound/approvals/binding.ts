import { eq } from 'drizzle-orm';
import type { Transaction } from '../../store/connection.ts';
import { actions, anchors, approvals } from '../../store/schema.ts';
import { hashCall } from '../canonical-json.ts';

/** What a person's word is bound to: what is done, with exactly which arguments, where, and under which identity. */
export interface Bound {
  organizationId: string;
  sessionId: string;
  provider: string;
  capability: string;
  tool: string;
  arguments: Readonly<Record<string, unknown>>;
  anchorId: string;
  installationId: string;
  place: Readonly<Record<string, string>>;
}

/** SHA-256 over all of it, hex. Pure. */
export function bindingHash({ tool, ...rest }: Bound): string {
  return hashCall(tool, { ...rest });
}

/** The hash of an action as its row is now; undefined when the row or its place is gone. */
export async function currentHash(tx: Transaction, actionId: string): Promise<string | undefined> {
  const rows = await tx
    .select({ action: actions, place: anchors.place })
    .from(actions)
    .innerJoin(anchors, eq(anchors.id, actions.anchorId))
    .where(eq(actions.id, actionId));
  const row = rows[0];
  if (!row?.action.anchorId || !row.action.installationId) return undefined;
  const { organizationId, sessionId, provider, capability, tool, anchorId, installationId } = row.action;
  return bindingHash({
    organizationId,
    sessionId,
    provider,
    capability,
    tool,
    arguments: row.action.arguments,
    anchorId,
    installationId,
    place: row.place,
  });
}

/** Whether an action may be sent as far as approvals go: it needed none, or it is what was approved, byte for byte. */
export async function isAsApproved(tx: Transaction, actionId: string): Promise<boolean> {
  const rows = await tx
    .select({ hash: approvals.hash, state: approvals.state })
    .from(approvals)
    .where(eq(approvals.actionId, actionId));
  const approval = rows[0];
  if (!approval) return true;
  return approval.state === 'approved' && approval.hash === (await currentHash(tx, actionId));
}
