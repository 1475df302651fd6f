import { enqueue, type Jobs } from '../../store/jobs.ts';
import { withOrganization } from '../../store/organization.ts';
import { ApiError } from '../errors.ts';
import { type ConfirmDeps, confirmPublication } from './confirm.ts';
import type { PublicationRow } from './deps.ts';

const minuteMs = 60_000;

/**
 * The `confirm` job: a signed event spoke of an installation, or a credential was not accepted, so the provider is asked.
 * Run twice, it does no harm. While the provider says no it asks again, ever less often: some have said so of all tokens
 * for an hour, and nobody shall have to install everything anew for that.
 */
export function createConfirmJob(deps: ConfirmDeps): (job: Jobs['confirm']) => Promise<void> {
  return async (job) => {
    const { organizationId, publicationId } = job;
    try {
      const row = await confirmPublication(deps, organizationId, publicationId, { inBackground: true });
      if (row.state !== 'needs_reauth') return;
      const runAt = nextQuestion(row, deps.clock());
      await withOrganization(deps.database, organizationId, (tx) =>
        enqueue(tx, 'confirm', job, { key: `confirm:${publicationId}`, maxAttempts: 5, runAt }),
      );
    } catch (error) {
      // There is no token to ask with yet, or it is another workspace: nothing that a later try mends.
      if (!(error instanceof ApiError)) throw error;
      deps.logger.info({ publicationId, reason: error.message }, 'an installation was not confirmed');
    }
  };
}

/** As long from now as it has been so already, within bounds. Pure. */
function nextQuestion({ updatedAt }: Pick<PublicationRow, 'updatedAt'>, now: Date): Date {
  const sinceMs = now.getTime() - updatedAt.getTime();
  return new Date(now.getTime() + Math.min(Math.max(sinceMs, 5 * minuteMs), 6 * 60 * minuteMs));
}
