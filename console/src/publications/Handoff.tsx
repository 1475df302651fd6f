import { useCallback, useState } from 'react';
import { useAction } from '../live/useAction.ts';
import { usePolled } from '../live/usePolled.ts';
import { ErrorNote } from '../ui/ErrorNote.tsx';
import { countHandoffs, createHandoff, revokeHandoffs } from './api.ts';

/** A link for somebody who has the rights at the provider but no account here. */
export function Handoff({ id }: { id: string }) {
  const ask = useCallback(() => countHandoffs(id), [id]);
  const { value: count, refresh } = usePolled(ask, 5_000);
  const [url, setUrl] = useState<string>();
  const { busy, problem, run } = useAction();
  const open = (count?.waiting ?? 0) + (count?.opened ?? 0);
  const make = () =>
    run(async () => {
      setUrl((await createHandoff(id)).url);
      await refresh();
    });
  const revoke = () =>
    run(async () => {
      await revokeHandoffs(id);
      setUrl(undefined);
      await refresh();
    });
  return (
    <section className="card" aria-labelledby="handoff-title">
      <h3 id="handoff-title">Let somebody else do it</h3>
      <p className="muted">
        For an admin without an account here. The link works in one browser, for seven days, for these steps
        only, and shows what the agent may do.
      </p>
      {url && (
        <p className="handoff-url">
          <code>{url}</code>
        </p>
      )}
      {problem && <ErrorNote message={problem} />}
      <div className="form-actions">
        <button className="button" type="button" disabled={busy} onClick={make}>
          Make a link
        </button>
        {open > 0 && (
          <button className="button" type="button" disabled={busy} onClick={revoke}>
            Take {open === 1 ? 'it' : `all ${open}`} back
          </button>
        )}
      </div>
    </section>
  );
}
