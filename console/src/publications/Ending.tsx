import { useState } from 'react';
import { useAction } from '../live/useAction.ts';
import { ErrorNote } from '../ui/ErrorNote.tsx';
import { type Setup, unpublish } from './api.ts';

/** Ends a publication, after one more question. */
export function Ending({ setup, refresh }: { setup: Setup; refresh: () => Promise<void> }) {
  const [asked, setAsked] = useState(false);
  const { busy, problem, run } = useAction();
  if (setup.next === 'over') {
    return (
      <section className="card">
        <h3>Ended</h3>
        <p className="muted">
          Its secrets were destroyed and its sessions ended. Publish the agent anew to have it back.
        </p>
      </section>
    );
  }
  return (
    <section className="card" aria-labelledby="ending-title">
      <h3 id="ending-title">End it</h3>
      <p className="muted">
        Takes the installation back in {setup.provider_title}, ends its sessions and destroys its secrets.
        This cannot be undone.
      </p>
      {problem && <ErrorNote message={problem} />}
      <div className="form-actions">
        {asked ? (
          <>
            <button
              className="button button-danger"
              type="button"
              disabled={busy}
              onClick={() =>
                run(async () => {
                  await unpublish(setup.publication_id);
                  await refresh();
                })
              }
            >
              End {setup.name} in {setup.provider_title}
            </button>
            <button className="button" type="button" disabled={busy} onClick={() => setAsked(false)}>
              Keep it
            </button>
          </>
        ) : (
          <button className="button" type="button" onClick={() => setAsked(true)}>
            Unpublish…
          </button>
        )}
      </div>
    </section>
  );
}
