import { type FormEvent, useState } from 'react';
import { useAction } from '../live/useAction.ts';
import { ErrorNote } from '../ui/ErrorNote.tsx';
import { confirm, createLink, giveCredentials, type Setup } from './api.ts';

interface StepsProps {
  setup: Setup;
  refresh: () => Promise<void>;
  setSetup: (setup: Setup) => void;
}

/** The step that comes next, and those that are done. */
export function Steps({ setup, refresh, setSetup }: StepsProps) {
  const { next, provider_title: title, app_fields: fields } = setup;
  return (
    <section className="card" aria-labelledby="steps-title">
      <h3 id="steps-title">{next === 'done' ? 'Set up' : 'Next'}</h3>
      {next === 'create' && <Create setup={setup} setSetup={setSetup} />}
      {next === 'install' && <Install setup={setup} refresh={refresh} />}
      {next === 'done' && (
        <>
          <p>
            {setup.name} is installed in {setup.workspace ?? title}
            {setup.app.url && (
              <>
                {' '}
                as <a href={setup.app.url}>{setup.app.slug}</a>
              </>
            )}
            .
          </p>
          {setup.missing_scopes.length > 0 ? (
            <p className="warning-note">
              {title} has not given it {setup.missing_scopes.join(', ')} yet; until then it works with what it
              has. {setup.provider === 'linear' ? '' : `Take the manifest below over in ${title}, then `}
              {setup.provider === 'linear' ? 'Install' : 'install'} it again.
            </p>
          ) : (
            <p className="muted">It can be installed again at any time, as after a change of its app.</p>
          )}
          <Install setup={setup} refresh={refresh} />
        </>
      )}
      <details className="manifest">
        <summary>Manifest and addresses</summary>
        <dl>
          <dt>Webhook</dt>
          <dd>
            <code>{setup.webhook_url}</code>
          </dd>
          <dt>Callback</dt>
          <dd>
            <code>{setup.redirect_url}</code>
          </dd>
          <dt>Scopes</dt>
          <dd>{setup.scopes.join(', ')}</dd>
        </dl>
        <pre>{JSON.stringify(setup.manifest, null, 2)}</pre>
      </details>
      {next === 'create' && fields.length > 0 && (
        <p className="muted small">The three values are sealed at once; nobody can read them here again.</p>
      )}
    </section>
  );
}

function Create({ setup, setSetup }: Pick<StepsProps, 'setup' | 'setSetup'>) {
  const { publication_id: id, provider_title: title, app_fields: fields } = setup;
  const { busy, problem, run } = useAction();
  const byHand = fields.length > 0;
  const open = () =>
    run(async () => {
      // Opened before the answer, or the browser would take it for a pop-up.
      const page = byHand ? window.open('about:blank', '_blank') : null;
      try {
        const { url } = await createLink(id, 'create');
        if (page) page.location.replace(url);
        else window.location.assign(url);
      } catch (error) {
        page?.close();
        throw error;
      }
    });
  return (
    <>
      <p>
        <strong>1. Make the app.</strong> {title} opens with everything filled in; confirm it there
        {byHand ? ', and come back with three values.' : '. Its key and secrets come back by themselves.'}
      </p>
      <div className="form-actions">
        <button className="button button-primary" type="button" disabled={busy} onClick={open}>
          Make the app in {title}
        </button>
      </div>
      {problem && <ErrorNote message={problem} />}
      {byHand && <Credentials setup={setup} setSetup={setSetup} />}
    </>
  );
}

function Credentials({ setup, setSetup }: Pick<StepsProps, 'setup' | 'setSetup'>) {
  const [typed, setTyped] = useState<Record<string, string>>({});
  const { busy, problem, run } = useAction();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => setSetup(await giveCredentials(setup.publication_id, typed)));
  };
  return (
    <form className="credentials" autoComplete="off" onSubmit={submit}>
      <p>
        <strong>2. Bring three values back.</strong>
      </p>
      {setup.app_fields.map(({ name, label, hint, secret }) => (
        <div key={name}>
          <label htmlFor={name}>{label}</label>
          <input
            id={name}
            type={secret ? 'password' : 'text'}
            value={typed[name] ?? ''}
            required
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => setTyped({ ...typed, [name]: event.target.value })}
          />
          <p className="muted small">{hint}</p>
        </div>
      ))}
      {problem && <ErrorNote message={problem} />}
      <div className="form-actions">
        <button className="button button-primary" type="submit" disabled={busy}>
          Store them
        </button>
      </div>
    </form>
  );
}

function Install({ setup, refresh }: Pick<StepsProps, 'setup' | 'refresh'>) {
  const { publication_id: id, provider_title: title, next } = setup;
  const { busy, problem, run } = useAction();
  const done = next === 'done';
  return (
    <>
      {!done && (
        <p>
          <strong>Install it.</strong> {title} shows what it may do, asks you to confirm, and sends you back.
        </p>
      )}
      <div className="form-actions">
        <button
          className={done ? 'button' : 'button button-primary'}
          type="button"
          disabled={busy}
          onClick={() => run(async () => window.location.assign((await createLink(id, 'install')).url))}
        >
          {done ? 'Install again' : `Install it in ${title}`}
        </button>
        <button
          className="button"
          type="button"
          disabled={busy}
          onClick={() =>
            run(async () => {
              await confirm(id);
              await refresh();
            })
          }
        >
          Check again
        </button>
      </div>
      {problem && <ErrorNote message={problem} />}
    </>
  );
}
