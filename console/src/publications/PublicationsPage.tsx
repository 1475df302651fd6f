import { usePolled } from '../live/usePolled.ts';
import { listPublications, type Publication } from './api.ts';
import { Frame, Waiting } from './Frame.tsx';
import { StatePill } from './StatePill.tsx';
import { providerTitles } from './words.ts';

const refreshMs = 5_000;

/** `/publications`: every publication, and the way to a new one. */
export function PublicationsPage() {
  const { value, error, refresh } = usePolled(listPublications, refreshMs);
  if (value === undefined) return <Waiting error={error} retry={refresh} />;
  const ended = value.filter(({ state }) => state === 'unpublished');
  const open = value.filter(({ state }) => state !== 'unpublished');
  return (
    <Frame title="Publications">
      <div className="page-head">
        <div>
          <h2>Publications</h2>
          <p className="muted">An agent, published into one tool under its own name there.</p>
        </div>
        <a className="button button-primary" href="/publications/new">
          Publish an agent
        </a>
      </div>
      {open.length === 0 ? (
        <p className="empty-card">
          Nothing is published. It takes three minutes: Tagalong makes the app's manifest, and you confirm it
          in Slack, GitHub or Linear.
        </p>
      ) : (
        <ul className="publication-list">
          {open.map((publication) => (
            <Item key={publication.id} publication={publication} />
          ))}
        </ul>
      )}
      {ended.length > 0 && (
        <details className="ended">
          <summary>{ended.length} ended</summary>
          <ul className="publication-list">
            {ended.map((publication) => (
              <Item key={publication.id} publication={publication} />
            ))}
          </ul>
        </details>
      )}
    </Frame>
  );
}

function Item({ publication }: { publication: Publication }) {
  const { id, provider, name, identity, emulated, state, state_reason: reason } = publication;
  const where = identity?.workspaceName ?? identity?.workspaceId;
  return (
    <li>
      <a className="publication-item" href={`/publications/${id}`}>
        <span className={`provider-mark provider-${provider}`}>{providerTitles[provider]}</span>
        <span className="publication-name">
          <strong>{name}</strong>
          <span className="muted">
            {where ? `in ${where}` : 'not installed yet'}
            {emulated ? ', in the workplace on this machine' : ''}
          </span>
          {reason && state !== 'live' && <span className="publication-reason">{reason}</span>}
        </span>
        <StatePill state={state} />
      </a>
    </li>
  );
}
