import type { Jobs } from '../../store/jobs.ts';
import { ApiError } from '../errors.ts';
import { type ConfirmDeps, confirmPublication } from './confirm.ts';

/** The `confirm` job: a signed event spoke of an installation, so the provider is asked. Run twice, it does no harm. */
export function createConfirmJob(deps: ConfirmDeps): (job: Jobs['confirm']) => Promise<void> {
  return async ({ organizationId, publicationId }) => {
    try {
      await confirmPublication(deps, organizationId, publicationId);
    } catch (error) {
      // There is no token to ask with yet, or it is another workspace: nothing that a later try mends.
      if (!(error instanceof ApiError)) throw error;
      deps.logger.info({ publicationId, reason: error.message }, 'an installation was not confirmed');
    }
  };
}
