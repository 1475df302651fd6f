import type { Transaction } from '../store/connection.ts';
import { enqueue } from '../store/jobs.ts';

/** Makes sure that a `send` job comes for this anchor; one that waits already is moved to this time. */
export function enqueueSend(
  tx: Transaction,
  organizationId: string,
  anchorId: string,
  runAt?: Date,
): Promise<void> {
  const options = { key: `send:${anchorId}`, ...(runAt && { runAt }) };
  return enqueue(tx, 'send', { organizationId, anchorId }, options);
}
