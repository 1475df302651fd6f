import type { Transaction } from '../store/connection.ts';
import type { Jobs } from '../store/jobs.ts';
import { withOrganization } from '../store/organization.ts';
import { tellResult } from './approvals/close.ts';
import type { SessionPort } from './approvals/session-port.ts';
import { attemptRow, type Outcome } from './attempt.ts';
import { waitMs } from './backoff.ts';
import { type SendDependencies, type SendLimits, sendLimits } from './dependencies.ts';
import { enqueueSend } from './enqueue-send.ts';
import {
  type AnchorLease,
  AnchorLeaseLostError,
  keepLease,
  releaseLease,
  takeLease,
  underLease,
} from './lease.ts';
import { submitPlatformAction } from './platform-action.ts';
import {
  type OnSettled,
  type OutboxRow,
  postpone,
  reportUnauthorized,
  settleFailed,
  settleSent,
  takeNext,
} from './queue.ts';

/**
 * The `send` job: sends what waits in one anchor's outbox, in order, each row effectively once. Each try is committed
 * before the call; a row whose earlier try may have arrived is looked for at the provider before it is sent again. It
 * throws only when the database does; the job's own retry and the sweep bring it back.
 */
export function createSendJob(dependencies: SendDependencies): (job: Jobs['send']) => Promise<void> {
  const limits = { ...sendLimits, ...dependencies.limits };
  const { database, logger } = dependencies;

  return async ({ organizationId, anchorId }) => {
    const first = await begin(dependencies, limits, organizationId, anchorId);
    if (!first) return;
    const { lease } = first;
    const kept = keepLease(database, lease, limits.renewEveryMs);
    try {
      let row: OutboxRow | undefined = first.row;
      for (let tried = 1; row; tried++) {
        const outcome = await attemptRow(dependencies, limits, organizationId, row, kept.lost);
        row = await settle(dependencies, limits, lease, row, outcome, tried < limits.maxRowsPerJob);
      }
    } catch (error) {
      if (!(error instanceof AnchorLeaseLostError)) throw error;
      logger.warn(
        { anchorId, fence: lease.fence },
        'lost the lease of an anchor while sending; another goes on',
      );
    } finally {
      kept.stop();
    }
  };
}

/** What was done by people's leave wakes the agent that had asked for it. */
const told = (sessions: SessionPort): { onSettled: OnSettled } => ({
  onSettled: (tx, actionId, result) => tellResult(tx, { sessions }, actionId, result),
});

/** Says in the anchor why the answer is not there, in the platform's own words. */
async function tellInstead(
  tx: Transaction,
  adapters: SendDependencies['adapters'],
  { organizationId, anchorId }: AnchorLease,
  { provider, sessionId, turnId, installationId }: OutboxRow,
  text: string,
): Promise<void> {
  const tool = adapters[provider].tools.find((each) => each.name === 'failure');
  if (!tool) throw new Error(`The ${provider} adapter has no tool failure.`);
  await submitPlatformAction(tx, {
    organizationId,
    sessionId,
    provider,
    tool,
    arguments: { text },
    turnId,
    anchor: { id: anchorId, installationId },
  });
}

/** Takes lease and first row in one transaction. Undefined when another sends, or nothing can be sent now. */
function begin(
  { database, workerId, clock, sessions }: SendDependencies,
  limits: SendLimits,
  organizationId: string,
  anchorId: string,
): Promise<{ lease: AnchorLease; row: OutboxRow } | undefined> {
  return withOrganization(database, organizationId, async (tx) => {
    const wanted = { organizationId, anchorId, workerId, durationMs: limits.leaseMs };
    const taken = await takeLease(tx, wanted);
    if (!taken) return undefined;
    if ('heldUntil' in taken) {
      // The holder looks again before it lets go; this is for when it dies instead.
      await enqueueSend(tx, organizationId, anchorId, taken.heldUntil);
      return undefined;
    }
    const row = await takeNext(tx, taken.lease, clock(), { ...limits, ...told(sessions) });
    return row && { lease: taken.lease, row };
  });
}

/** Records the outcome and takes the next row, in one transaction. @throws AnchorLeaseLostError */
async function settle(
  { database, adapters, clock, logger, sessions, random = Math.random }: SendDependencies,
  limits: SendLimits,
  lease: AnchorLease,
  row: OutboxRow,
  outcome: Outcome,
  more: boolean,
): Promise<OutboxRow | undefined> {
  const next = await underLease(database, lease, async (tx) => {
    const { onSettled } = told(sessions);
    if (outcome.kind === 'sent') {
      await settleSent(tx, row, outcome.result);
      await onSettled(tx, row.actionId, { state: 'sent', text: outcome.result.text });
    }
    if (outcome.kind === 'failed') {
      await settleFailed(tx, row, outcome.reason);
      await onSettled(tx, row.actionId, { state: 'failed', text: outcome.reason });
      if (outcome.tell !== undefined) await tellInstead(tx, adapters, lease, row, outcome.tell);
    }
    if (outcome.kind === 'later') {
      const { error } = outcome;
      const notBefore = new Date(clock().getTime() + waitMs(error, row.attempts, random()));
      await postpone(tx, row, error, notBefore);
      if (error.code === 'unauthorized') await reportUnauthorized(tx, row, error.message);
    }
    if (more) return takeNext(tx, lease, clock(), { ...limits, onSettled });
    await enqueueSend(tx, lease.organizationId, lease.anchorId);
    await releaseLease(tx, lease);
    return undefined;
  });
  const about = { actionId: row.actionId, tool: row.tool, attempts: row.attempts };
  if (outcome.kind === 'sent') logger.info(about, 'action sent');
  if (outcome.kind === 'failed') logger.warn(about, 'action failed');
  if (outcome.kind === 'later') logger.warn({ ...about, code: outcome.error.code }, 'action waits');
  return next;
}
