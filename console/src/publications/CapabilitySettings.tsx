import { useState } from 'react';
import { useAction } from '../live/useAction.ts';
import { ErrorNote } from '../ui/ErrorNote.tsx';
import { type Capability, type Grant, type Setup, saveSettings } from './api.ts';

const grants: readonly Grant[] = ['on', 'ask', 'off'];

/** What the agent may do here: on, only after somebody approved, or off. Saved as it is chosen. */
export function CapabilitySettings({ setup, refresh }: { setup: Setup; refresh: () => Promise<void> }) {
  const { busy, problem, run } = useAction();
  const [chosen, setChosen] = useState<{ name: string; grant: Grant }>();
  const waiting = new Map(setup.pending_capabilities?.capabilities.map(({ name, to }) => [name, to]));
  const choose = (capability: Capability, grant: Grant) => {
    setChosen({ name: capability.name, grant });
    // Set as a whole: what waits for approval goes on waiting.
    const all = setup.capabilities.map((each) =>
      each.name === capability.name
        ? { ...each, grant }
        : { ...each, grant: waiting.get(each.name) ?? each.grant },
    );
    const differing = all.filter((each) => each.grant !== each.usual);
    void run(async () => {
      await saveSettings(setup.publication_id, {
        capabilities: Object.fromEntries(differing.map((each) => [each.name, each.grant])),
      });
      await refresh();
    }).finally(() => setChosen(undefined));
  };
  return (
    <section className="card" aria-labelledby="capabilities-title">
      <h3 id="capabilities-title">What it may do</h3>
      <p className="muted">
        <strong>Ask</strong> means that a person has to approve each time. The manifest asks{' '}
        {setup.provider_title} only for what is on or on ask.
      </p>
      {problem && <ErrorNote message={problem} />}
      <ul className="capabilities">
        {setup.capabilities.map((capability) => {
          const wanted = waiting.get(capability.name);
          const grant = chosen?.name === capability.name ? chosen.grant : (wanted ?? capability.grant);
          return (
            <li key={capability.name}>
              <span>
                {capability.words}
                <code>{capability.name}</code>
                {wanted && <span className="waiting-mark">{wanted}: waits for approval</span>}
              </span>
              <fieldset className="grant" disabled={busy || setup.next === 'over'}>
                <legend className="visually-hidden">{capability.words}</legend>
                {grants.map((each) => (
                  <label key={each} className={grant === each ? `grant-${each}` : undefined}>
                    <input
                      type="radio"
                      name={capability.name}
                      checked={grant === each}
                      onChange={() => choose(capability, each)}
                    />
                    {each}
                  </label>
                ))}
              </fieldset>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
