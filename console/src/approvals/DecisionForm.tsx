import { useState } from 'react';
import { useAction } from '../live/useAction.ts';
import { ErrorNote } from '../ui/ErrorNote.tsx';
import { type Approval, decideApproval } from './api.ts';

export interface DecisionFormProps {
  approval: Approval;
  refresh: () => Promise<void>;
  setApproval: (approval: Approval) => void;
}

/** Approve or reject, after one more question. What somebody else decided meanwhile is said, and shown. */
export function DecisionForm({ approval, refresh, setApproval }: DecisionFormProps) {
  const [asked, setAsked] = useState<'approve' | 'reject'>();
  const { busy, problem, run } = useAction();
  const hasVoted = approval.votes.some(({ voter_id: voter }) => voter === 'api');
  const left = approval.rules.needed - approval.votes.filter(({ decision }) => decision === 'approve').length;
  const decide = (decision: 'approve' | 'reject') =>
    run(async () => {
      try {
        setApproval(await decideApproval(approval.id, decision));
      } finally {
        setAsked(undefined);
        await refresh();
      }
    });
  return (
    <section className="card" aria-labelledby="decide-title">
      <h3 id="decide-title">Your word</h3>
      {hasVoted ? (
        <p>
          It counts already. {left} more {left === 1 ? 'person has' : 'people have'} to approve it, in the
          thread.
        </p>
      ) : asked ? (
        <>
          <p>
            {asked === 'approve'
              ? left > 1
                ? `Your word is one of ${left} that are still needed.`
                : 'It is done at once, and the agent is told.'
              : 'The agent is told that it may not. One rejection ends the request.'}
          </p>
          <div className="form-actions">
            <button
              className={asked === 'approve' ? 'button button-primary' : 'button button-danger'}
              type="button"
              disabled={busy}
              onClick={() => void decide(asked)}
            >
              {asked === 'approve' ? 'Yes, approve it' : 'Yes, reject it'}
            </button>
            <button className="button" type="button" disabled={busy} onClick={() => setAsked(undefined)}>
              Not yet
            </button>
          </div>
        </>
      ) : (
        <div className="form-actions">
          <button className="button button-primary" type="button" onClick={() => setAsked('approve')}>
            Approve…
          </button>
          <button className="button" type="button" onClick={() => setAsked('reject')}>
            Reject…
          </button>
        </div>
      )}
      {problem && <ErrorNote message={problem} />}
    </section>
  );
}
