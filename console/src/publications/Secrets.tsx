import { type FormEvent, useState } from 'react';
import { useAction } from '../live/useAction.ts';
import { ErrorNote } from '../ui/ErrorNote.tsx';
import { replaceSecret, type Setup } from './api.ts';

/** Replaces the secret that webhooks are signed with. */
export function Secrets({ setup, setSetup }: { setup: Setup; setSetup: (setup: Setup) => void }) {
  const [secret, setSecret] = useState('');
  const [stored, setStored] = useState(false);
  const { busy, problem, run } = useAction();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      setSetup(await replaceSecret(setup.publication_id, secret));
      setSecret('');
      setStored(true);
    });
  };
  return (
    <section className="card" aria-labelledby="secret-title">
      <h3 id="secret-title">Webhook secret</h3>
      <form className="stacked" autoComplete="off" onSubmit={submit}>
        <label htmlFor="webhook_secret">A new one from {setup.provider_title}</label>
        <input
          id="webhook_secret"
          type="password"
          required
          minLength={8}
          value={secret}
          autoComplete="off"
          onChange={(event) => setSecret(event.target.value)}
        />
        <p className="muted small">The old one is honoured for 24 hours more.</p>
        {stored && <output className="good-note">Stored.</output>}
        {problem && <ErrorNote message={problem} />}
        <div className="form-actions">
          <button className="button" type="submit" disabled={busy}>
            Replace it
          </button>
        </div>
      </form>
    </section>
  );
}
