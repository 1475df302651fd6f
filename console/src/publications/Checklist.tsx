import type { Setup } from './api.ts';

/** What has happened so far; it fills by itself. */
export function Checklist({ checks }: { checks: Setup['checklist'] }) {
  const next = checks.find(({ done }) => !done);
  return (
    <section className="card" aria-labelledby="checklist-title">
      <h3 id="checklist-title">Checklist</h3>
      <ol className="checklist" aria-live="polite">
        {checks.map(({ id, label, done, hint }) => (
          <li key={id} className={done ? 'check-done' : 'check-open'} data-check={id} data-done={done}>
            <span>
              {label}
              <span className="visually-hidden">{done ? ': done' : ': not yet'}</span>
            </span>
            {next?.id === id && <span className="check-hint">{hint}</span>}
          </li>
        ))}
      </ol>
      {next === undefined && <p className="muted">Everything works.</p>}
    </section>
  );
}
