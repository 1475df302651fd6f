import { type FormEvent, useState } from 'react';
import { momentWords } from '../approvals/words.ts';
import { useAction } from '../live/useAction.ts';
import { ErrorNote } from '../ui/ErrorNote.tsx';
import { addUrl, type NotificationUrl, removeUrl, tryUrl } from './api.ts';

/** The addresses that notices are sent to: add one, try it, take it off. */
export function NotificationUrls({
  urls,
  refresh,
}: {
  urls: NotificationUrl[];
  refresh: () => Promise<void>;
}) {
  const [url, setUrl] = useState('');
  const [name, setName] = useState('');
  const [secret, setSecret] = useState<{ name: string; value: string }>();
  const { busy, problem, run } = useAction();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      const added = await addUrl(url.trim(), name.trim());
      setSecret({ name: added.name, value: added.signing_secret });
      setUrl('');
      setName('');
      await refresh();
    });
  };
  return (
    <section className="card" aria-labelledby="urls-title">
      <h3 id="urls-title">Send them on</h3>
      <p className="muted">
        To an https address: an incoming webhook of Slack, or a program of yours. Each is signed as in
        Standard Webhooks.
      </p>
      {urls.length > 0 && (
        <ul className="notification-urls">
          {urls.map((each) => (
            <Item key={each.id} url={each} refresh={refresh} />
          ))}
        </ul>
      )}
      {secret && (
        <div className="good-note">
          <p>The signing secret of {secret.name}. It is shown this once:</p>
          <p>
            <code>{secret.value}</code>
          </p>
        </div>
      )}
      <form className="stacked" autoComplete="off" onSubmit={submit}>
        <label htmlFor="notification_url">Address</label>
        <input
          id="notification_url"
          type="url"
          required
          placeholder="https://hooks.slack.com/services/…"
          value={url}
          spellCheck={false}
          autoComplete="off"
          aria-invalid={problem ? true : undefined}
          aria-describedby={problem ? 'notification_problem' : undefined}
          onChange={(event) => setUrl(event.target.value)}
        />
        <div id="notification_problem">{problem && <ErrorNote message={problem} />}</div>
        <label htmlFor="notification_name">Name</label>
        <input
          id="notification_name"
          value={name}
          maxLength={80}
          placeholder="empty: the host's name"
          onChange={(event) => setName(event.target.value)}
        />
        <div className="form-actions">
          <button className="button button-primary" type="submit" disabled={busy}>
            Add it
          </button>
        </div>
      </form>
    </section>
  );
}

function Item({ url, refresh }: { url: NotificationUrl; refresh: () => Promise<void> }) {
  const { busy, problem, run } = useAction();
  /** When it had been tried last, at the moment that a trial was asked for. */
  const [sentAfter, setSentAfter] = useState<string | null>();
  const { id, name, host, last_tried_at: at, last_error: error } = url;
  return (
    <li>
      <strong>{name}</strong>
      {name !== host && <span className="muted small"> {host}</span>}
      <p className={error ? 'small notification-failed' : 'muted small'}>
        {at === null
          ? 'Nothing was sent yet.'
          : error
            ? `${momentWords(at)}: ${error}`
            : `Arrived ${momentWords(at)}.`}
      </p>
      {sentAfter === at && <output className="muted small">On its way.</output>}
      {problem && <ErrorNote message={problem} />}
      <div className="form-actions">
        <button
          className="button"
          type="button"
          disabled={busy}
          onClick={() =>
            run(async () => {
              await tryUrl(id);
              setSentAfter(at);
            })
          }
        >
          Try it
        </button>
        <button
          className="button"
          type="button"
          disabled={busy}
          onClick={() =>
            run(async () => {
              await removeUrl(id);
              await refresh();
            })
          }
        >
          Remove
        </button>
      </div>
    </li>
  );
}
