import { type ReactNode, useState } from 'react';
import type { Vault } from './api.ts';
import { CheckField, ListField, NumberField, type PolicyPartProps } from './PolicyFields.tsx';

/** Limits, the network, and credentials: what most leave as it is. Open where something is wrong in it. */
export function PolicyAdvanced({ vaults, form, problems, set }: PolicyPartProps & { vaults: Vault[] }) {
  const limitIsWrong =
    problems.turnsPerAnchorPerHour ??
    problems.turnsPerHour ??
    problems.botMessagesPerHour ??
    problems.maxHops;
  const networkIsWrong = problems.allowedHosts ?? problems.vaultIds;
  return (
    <>
      <Folded title="Limits" wrong={limitIsWrong !== undefined}>
        <p className="muted small">
          How often it may be set to work. Crossing one is said once, in the thread.
        </p>
        <div className="policy-pair">
          <NumberField
            id="turns-anchor"
            label="In one thread or issue, per hour"
            usual={60}
            value={form.turnsPerAnchorPerHour}
            problem={problems.turnsPerAnchorPerHour}
            change={(value) => set('turnsPerAnchorPerHour', value)}
          />
          <NumberField
            id="turns"
            label="In all, per hour"
            usual={600}
            value={form.turnsPerHour}
            problem={problems.turnsPerHour}
            change={(value) => set('turnsPerHour', value)}
          />
          <NumberField
            id="bot-messages"
            label="From one bot in a thread, per hour"
            usual={10}
            value={form.botMessagesPerHour}
            problem={problems.botMessagesPerHour}
            change={(value) => set('botMessagesPerHour', value)}
          />
          <NumberField
            id="hops"
            label="Agents one after another"
            usual={4}
            value={form.maxHops}
            problem={problems.maxHops}
            change={(value) => set('maxHops', value)}
          />
        </div>
      </Folded>
      <Folded title="Network and credentials" wrong={networkIsWrong !== undefined}>
        <p className="muted small">
          Its sandbox reaches the provider and the model, and what is named here. Credentials are put on by
          the proxy; the agent never sees them.
        </p>
        <ListField
          id="hosts"
          label="Other hosts"
          hint="Names, one per line; *.example.com means all below it."
          placeholder={'api.example.com\n*.example.org'}
          value={form.allowedHosts}
          problem={problems.allowedHosts}
          change={(value) => set('allowedHosts', value)}
        />
        <fieldset className="policy-checks">
          <legend>Vaults whose credentials it uses</legend>
          {vaults.length === 0 && (
            <p className="muted small">There is no vault yet. One is made over the API.</p>
          )}
          {vaults.map(({ id, display_name: name }) => (
            <CheckField
              key={id}
              id={`vault-${id}`}
              label={name}
              checked={form.vaultIds.includes(id)}
              change={(on) =>
                set('vaultIds', on ? [...form.vaultIds, id] : form.vaultIds.filter((each) => each !== id))
              }
            />
          ))}
          {problems.vaultIds && <p className="field-problem">{problems.vaultIds}</p>}
        </fieldset>
      </Folded>
    </>
  );
}

/** Closed until it is opened, or something in it is wrong; then it stays open. */
function Folded({ title, wrong, children }: { title: string; wrong: boolean; children: ReactNode }) {
  const [open, setOpen] = useState(false);
  return (
    <details
      className="policy-more"
      open={open || wrong}
      onToggle={(event) => setOpen(event.currentTarget.open)}
    >
      <summary>{title}</summary>
      {children}
    </details>
  );
}
