import { useCallback, useState } from 'react';
import { useAction } from '../live/useAction.ts';
import { usePolled } from '../live/usePolled.ts';
import { Frame, Waiting } from '../publications/Frame.tsx';
import { ErrorNote } from '../ui/ErrorNote.tsx';
import { ApprovalItem } from './ApprovalItem.tsx';
import { type Approval, listApprovals } from './api.ts';

const everyMs = 3_000;

/** `/approvals`: what agents ask leave for, and what came of it. */
export function ApprovalsPage() {
  const ask = useCallback(async () => {
    const [waiting, newest] = await Promise.all([listApprovals('waiting'), listApprovals()]);
    return { waiting: waiting.data, newest };
  }, []);
  const { value, error, refresh } = usePolled(ask, everyMs);
  const [older, setOlder] = useState<{ data: Approval[]; next: string | null }>();
  const { busy, problem, run } = useAction();
  if (value === undefined) {
    return <Waiting error={error} retry={refresh} title="Approvals" room="approvals" />;
  }
  const { waiting, newest } = value;
  const next = older === undefined ? newest.next_page : older.next;
  const shown = new Set<string>();
  const decided = [...newest.data, ...(older?.data ?? [])].filter(({ id, state }) => {
    const isNew = !shown.has(id);
    shown.add(id);
    return isNew && state !== 'waiting';
  });
  const more = (page: string) =>
    run(async () => {
      const { data, next_page } = await listApprovals(undefined, page);
      setOlder({ data: [...(older?.data ?? []), ...data], next: next_page });
    });
  return (
    <Frame title="Approvals" room="approvals">
      <div className="page-head">
        <div>
          <h2>Approvals</h2>
          <p className="muted">What agents ask leave for. People in the thread can decide as well.</p>
        </div>
      </div>
      {error && <ErrorNote message={error.message} />}
      <h3 className="list-title">Waiting</h3>
      {waiting.length === 0 ? (
        <p className="empty-card">Nothing waits for a word.</p>
      ) : (
        <ul className="publication-list">
          {waiting.map((approval) => (
            <ApprovalItem key={approval.id} approval={approval} />
          ))}
        </ul>
      )}
      {decided.length > 0 && (
        <>
          <h3 className="list-title">Decided</h3>
          <ul className="publication-list">
            {decided.map((approval) => (
              <ApprovalItem key={approval.id} approval={approval} />
            ))}
          </ul>
        </>
      )}
      {problem && <ErrorNote message={problem} />}
      {next && (
        <div className="form-actions">
          <button className="button" type="button" disabled={busy} onClick={() => void more(next)}>
            Older
          </button>
        </div>
      )}
    </Frame>
  );
}
