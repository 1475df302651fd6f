import { useState } from 'react';
import { useAction } from '../live/useAction.ts';
import { ErrorNote } from '../ui/ErrorNote.tsx';
import { approveDifference, type Difference, rejectDifference, type Setup } from './api.ts';

const reach = { on: 'without asking', ask: 'after an approval each time', off: 'not at all' } as const;

export interface PendingDifferenceProps {
  setup: Setup;
  pending: Difference;
  refresh: () => Promise<void>;
}

/** That it shall be allowed more, by exactly how much, and an admin's word on it. */
export function PendingDifference({ setup, pending, refresh }: PendingDifferenceProps) {
  const [asked, setAsked] = useState<string>();
  const { busy, problem, run } = useAction();
  // Asked about another difference than the one that is shown now, the question is open again.
  const sure = asked === pending.difference;
  const decide = (work: () => Promise<unknown>) =>
    run(async () => {
      try {
        await work();
      } finally {
        setAsked(undefined);
        await refresh();
      }
    });
  const { publication_id: id, provider_title: title } = setup;
  return (
    <section className="card difference" aria-labelledby="difference-title">
      <h3 id="difference-title">{setup.name} shall be allowed more</h3>
      <p className="muted">It goes on as before until an admin approves this.</p>
      <ul>
        {pending.capabilities.map(({ name, words, from, to }) => (
          <li key={name}>
            <strong>{words}</strong>: {reach[to]}
            <span className="muted"> (now {reach[from]})</span>
          </li>
        ))}
      </ul>
      {pending.scopes.length > 0 && (
        <p className="small">
          {title} is asked for <code>{pending.scopes.join(', ')}</code> in addition: the app has to be
          installed again for that.
        </p>
      )}
      <div className="form-actions">
        {sure ? (
          <button
            className="button button-primary"
            type="button"
            disabled={busy}
            onClick={() => void decide(() => approveDifference(id, pending.difference))}
          >
            Yes, allow {pending.capabilities.length === 1 ? 'it' : `all ${pending.capabilities.length}`}
          </button>
        ) : (
          <button
            className="button button-primary"
            type="button"
            disabled={busy}
            onClick={() => setAsked(pending.difference)}
          >
            Approve…
          </button>
        )}
        <button
          className="button"
          type="button"
          disabled={busy}
          onClick={() => void decide(() => rejectDifference(id))}
        >
          Leave it as it is
        </button>
      </div>
      {problem && <ErrorNote message={problem} />}
    </section>
  );
}
