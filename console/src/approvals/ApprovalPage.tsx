import { useCallback } from 'react';
import { usePolled } from '../live/usePolled.ts';
import { Frame, Waiting } from '../publications/Frame.tsx';
import { providerTitles } from '../publications/words.ts';
import { ErrorNote } from '../ui/ErrorNote.tsx';
import { type Approval, fetchApproval } from './api.ts';
import { DecisionForm } from './DecisionForm.tsx';
import { approvalStates, askerWords, momentWords, ruleWords, untilWords } from './words.ts';

const everyMs = 3_000;

/** `/approvals/{id}`: one request, whole, and the word on it. */
export function ApprovalPage({ id }: { id: string }) {
  const ask = useCallback(() => fetchApproval(id), [id]);
  const { value, error, refresh, setValue } = usePolled(ask, everyMs);
  if (value === undefined) return <Waiting error={error} retry={refresh} title="Approval" room="approvals" />;
  return <Loaded approval={value} problem={error?.message} refresh={refresh} setApproval={setValue} />;
}

interface LoadedProps {
  approval: Approval;
  problem: string | undefined;
  refresh: () => Promise<void>;
  setApproval: (approval: Approval) => void;
}

function Loaded({ approval, problem, refresh, setApproval }: LoadedProps) {
  const { provider, publication_name: name, state, votes } = approval;
  const { words, tone } = approvalStates[state];
  return (
    <Frame title={`${approval.capability_words} (${words.toLowerCase()})`} room="approvals">
      <a className="back-link" href="/approvals">
        ← Approvals
      </a>
      <div className="page-head">
        <div>
          <h2>{approval.capability_words}</h2>
          <p className="muted">
            {name} in {providerTitles[provider]} asks, for {askerWords(approval)}.
          </p>
        </div>
        <span className={`state-pill state-${tone}`}>{words}</span>
      </div>
      {problem && <ErrorNote message={problem} />}
      <div className="publication-columns">
        <section className="card" aria-labelledby="shown-title">
          <h3 id="shown-title">What would be done</h3>
          <p className="muted">Whole, as people were asked. Exactly this, or nothing.</p>
          <pre className="shown">{approval.shown}</pre>
        </section>
        <div className="publication-side">
          {state === 'waiting' ? (
            <DecisionForm approval={approval} refresh={refresh} setApproval={setApproval} />
          ) : (
            <section className="card" aria-labelledby="outcome-title">
              <h3 id="outcome-title">{words}</h3>
              <p>{approval.outcome ?? 'No more is known of it.'}</p>
              {approval.decided_at && <p className="muted small">{momentWords(approval.decided_at)}</p>}
            </section>
          )}
          <section className="card" aria-labelledby="rules-title">
            <h3 id="rules-title">Who decides</h3>
            <p>{ruleWords(approval)} An admin may do it here.</p>
            {votes.length > 0 && (
              <ul className="votes">
                {votes.map(({ voter_id: voter, voter_name: voterName, decision }) => (
                  <li key={voter}>
                    {voterName ?? voter}: {decision === 'approve' ? 'approved' : 'rejected'}
                  </li>
                ))}
              </ul>
            )}
            <p className="muted small">
              Asked {momentWords(approval.created_at)}
              {state === 'waiting' && `; ends by itself ${untilWords(approval.expires_at, Date.now())}`}.
            </p>
            <p className="muted small">
              <code>{approval.capability}</code> by <code>{approval.tool}</code>
            </p>
          </section>
        </div>
      </div>
    </Frame>
  );
}
