import { randomUUID } from 'node:crypto';
import type { ProviderTool } from '../providers/provider.ts';
import type { Transaction } from '../store/connection.ts';
import { newId } from '../store/ids.ts';
import { actions, outbox, type ProviderName } from '../store/schema.ts';
import { hashCall } from './canonical-json.ts';
import { cleanRecord } from './clean-text.ts';
import { enqueueSend } from './enqueue-send.ts';

export interface PlatformAction {
  organizationId: string;
  sessionId: string;
  provider: ProviderName;
  tool: Pick<ProviderTool, 'name' | 'capability'>;
  arguments: Readonly<Record<string, unknown>>;
  turnId: string | null;
  anchor: { id: string; installationId: string };
}

/**
 * What the platform itself says in an anchor: a request for approval, its outcome, that a limit was reached. It is
 * among the platform's own needs, so no grant is asked; it is recorded and sent as every action is. Answers its id.
 */
export async function submitPlatformAction(tx: Transaction, input: PlatformAction): Promise<string> {
  const { organizationId, sessionId, provider, tool, turnId, anchor } = input;
  const argumentsNow = cleanRecord(input.arguments);
  const actionId = newId('action');
  await tx.insert(actions).values({
    id: actionId,
    organizationId,
    sessionId,
    turnId,
    anchorId: anchor.id,
    installationId: anchor.installationId,
    provider,
    capability: tool.capability,
    tool: tool.name,
    arguments: argumentsNow,
    argumentsHash: hashCall(tool.name, argumentsNow),
    decision: 'allowed',
    state: 'queued',
  });
  await enqueueAction(tx, { organizationId, actionId, anchor });
  return actionId;
}

/** Puts an action on its way: its outbox row with a mark of its own, and the job that sends it. */
export async function enqueueAction(
  tx: Transaction,
  {
    organizationId,
    actionId,
    anchor,
  }: { organizationId: string; actionId: string; anchor: PlatformAction['anchor'] },
): Promise<void> {
  await tx.insert(outbox).values({
    id: newId('out'),
    organizationId,
    actionId,
    anchorId: anchor.id,
    installationId: anchor.installationId,
    mark: randomUUID(),
  });
  await enqueueSend(tx, organizationId, anchor.id);
}
