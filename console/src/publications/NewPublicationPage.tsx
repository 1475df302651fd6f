import { type FormEvent, useCallback, useState } from 'react';
import { useAction } from '../live/useAction.ts';
import { usePolled } from '../live/usePolled.ts';
import { ErrorNote } from '../ui/ErrorNote.tsx';
import { createPublication, fetchOptions, listAgents, type Provider } from './api.ts';
import { Frame, Waiting } from './Frame.tsx';
import { providerTitles } from './words.ts';

const providers: { id: Provider; words: string }[] = [
  { id: 'slack', words: 'Mention it in channels; it answers in the thread.' },
  { id: 'github', words: 'Mention it in issues and pull requests; it pushes to branches of its own.' },
  { id: 'linear', words: 'Delegate issues to it; it works as an agent of the workspace.' },
];

/** `/publications/new`: which agent, where, and under which name. */
export function NewPublicationPage() {
  const ask = useCallback(async () => ({ agents: await listAgents(), options: await fetchOptions() }), []);
  const { value, error, refresh } = usePolled(ask, null);
  const [provider, setProvider] = useState<Provider>('slack');
  const [agentId, setAgentId] = useState('');
  const [name, setName] = useState('');
  const [owner, setOwner] = useState('');
  const [emulated, setEmulated] = useState<boolean>();
  const { busy, problem, run } = useAction();
  if (value === undefined) return <Waiting error={error} retry={refresh} />;
  const { agents, options } = value;
  const agent = agents.find(({ id }) => id === agentId) ?? agents[0];
  // While only the workplace can reach this server, it is the place that works.
  const intoWorkplace = options.emulated && (emulated ?? options.warning !== null);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!agent) return;
    void run(async () => {
      const made = await createPublication({
        provider,
        agent_id: agent.id,
        ...(name.trim() ? { name: name.trim() } : {}),
        ...(provider === 'github' && owner.trim() ? { owner: owner.trim() } : {}),
        ...(intoWorkplace ? { emulated: true } : {}),
      });
      window.location.assign(`/publications/${made.id}`);
    });
  };
  return (
    <Frame title="Publish an agent">
      <a className="back-link" href="/publications">
        ← Publications
      </a>
      <h2 className="page-title">Publish an agent</h2>
      {agent === undefined ? (
        <p className="empty-card">There is no agent yet. Make one first, with the API.</p>
      ) : (
        <form className="card publish-form" onSubmit={submit}>
          <label htmlFor="agent">Agent</label>
          <select id="agent" value={agent.id} onChange={(event) => setAgentId(event.target.value)}>
            {agents.map((each) => (
              <option key={each.id} value={each.id}>
                {each.name}
              </option>
            ))}
          </select>
          <fieldset className="choices">
            <legend>Into</legend>
            {providers.map(({ id, words }) => (
              <label key={id} className={provider === id ? 'choice choice-chosen' : 'choice'}>
                <input
                  type="radio"
                  name="provider"
                  value={id}
                  checked={provider === id}
                  onChange={() => setProvider(id)}
                />
                <span>
                  <strong>{providerTitles[id]}</strong>
                  <span className="muted">{words}</span>
                </span>
              </label>
            ))}
          </fieldset>
          {options.emulated && (
            <fieldset className="choices choices-two">
              <legend>Which {providerTitles[provider]}</legend>
              <label className={intoWorkplace ? 'choice choice-chosen' : 'choice'}>
                <input type="radio" name="where" checked={intoWorkplace} onChange={() => setEmulated(true)} />
                <span>
                  <strong>The workplace</strong>
                  <span className="muted">Emulated on this machine; to try it.</span>
                </span>
              </label>
              <label className={intoWorkplace ? 'choice' : 'choice choice-chosen'}>
                <input
                  type="radio"
                  name="where"
                  checked={!intoWorkplace}
                  onChange={() => setEmulated(false)}
                />
                <span>
                  <strong>Our own {providerTitles[provider]}</strong>
                  <span className="muted">For real.</span>
                </span>
              </label>
            </fieldset>
          )}
          {!intoWorkplace && options.warning && <p className="warning-note">{options.warning}</p>}
          <label htmlFor="name">Name there</label>
          <input
            id="name"
            value={name}
            maxLength={80}
            placeholder={agent.name}
            onChange={(event) => setName(event.target.value)}
          />
          {provider === 'github' && (
            <>
              <label htmlFor="owner">Organization that owns the app</label>
              <input
                id="owner"
                value={owner}
                placeholder="empty: your own account"
                spellCheck={false}
                onChange={(event) => setOwner(event.target.value)}
              />
            </>
          )}
          {problem && <ErrorNote message={problem} />}
          <div className="form-actions">
            <button className="button button-primary" type="submit" disabled={busy}>
              Go on
            </button>
          </div>
        </form>
      )}
    </Frame>
  );
}
