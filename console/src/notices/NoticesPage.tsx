import { useCallback } from 'react';
import { momentWords } from '../approvals/words.ts';
import { usePolled } from '../live/usePolled.ts';
import { Frame, Waiting } from '../publications/Frame.tsx';
import { listNotices, listUrls } from './api.ts';
import { NotificationUrls } from './NotificationUrls.tsx';

const everyMs = 5_000;

/** `/notices`: what admins were told, and where it is sent as well. */
export function NoticesPage() {
  const ask = useCallback(async () => {
    const [notices, urls] = await Promise.all([listNotices(), listUrls()]);
    return { notices, urls };
  }, []);
  const { value, error, refresh } = usePolled(ask, everyMs);
  if (value === undefined) return <Waiting error={error} retry={refresh} title="Notices" room="notices" />;
  const { notices, urls } = value;
  return (
    <Frame title="Notices" room="notices">
      <div className="page-head">
        <div>
          <h2>Notices</h2>
          <p className="muted">
            What Tagalong tells its admins: an agent that cannot answer, and that it can again.
          </p>
        </div>
      </div>
      <div className="publication-columns">
        <section className="card" aria-labelledby="notices-title">
          <h3 id="notices-title">Newest first</h3>
          {notices.length === 0 ? (
            <p className="muted">Nothing was to be told so far.</p>
          ) : (
            <ul className="notices">
              {notices.map(({ id, text, created_at: at, resolved_at: over, publication_id: publication }) => (
                <li key={id} className={over ? undefined : 'notice-open'}>
                  <span>{text}</span>
                  <span className="muted small">
                    {momentWords(at)}
                    {over ? '' : ', open'}
                    {publication && (
                      <>
                        {' · '}
                        <a href={`/publications/${publication}`}>the publication</a>
                      </>
                    )}
                  </span>
                </li>
              ))}
            </ul>
          )}
        </section>
        <div className="publication-side">
          <NotificationUrls urls={urls} refresh={refresh} />
        </div>
      </div>
    </Frame>
  );
}
