import { type ReactNode, useState } from 'react';
import type { Environment, Vault } from './api.ts';
import {
  CheckField,
  ChoiceField,
  ListField,
  NumberField,
  type PolicyPartProps,
  typed,
} from './PolicyFields.tsx';

/** Limits, the network, and credentials: what most leave as it is. Open where something is wrong in it. */
export function PolicyAdvanced({
  vaults,
  environments,
  ...part
}: PolicyPartProps & { vaults: Vault[]; environments: Environment[] }) {
  const { form, problems, set } = part;
  const limitIsWrong =
    problems.turnsPerAnchorPerHour ??
    problems.turnsPerHour ??
    problems.botMessagesPerHour ??
    problems.maxHops;
  const networkIsWrong =
    problems.allowedHosts ?? problems.passthroughHosts ?? problems.environmentId ?? problems.vaultIds;
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
            {...typed(part, 'turnsPerAnchorPerHour')}
          />
          <NumberField id="turns" label="In all, per hour" usual={600} {...typed(part, 'turnsPerHour')} />
          <NumberField
            id="bot-messages"
            label="From one bot in a thread, per hour"
            usual={10}
            {...typed(part, 'botMessagesPerHour')}
          />
          <NumberField id="hops" label="Agents one after another" usual={4} {...typed(part, 'maxHops')} />
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
          hint="Names, one per line; *.example.com means all below it, example.com:8443 that port, example.com/v1 only what is at and below that path."
          placeholder={'api.example.com/v1\n*.example.org'}
          {...typed(part, 'allowedHosts')}
        />
        <ListField
          id="passthrough"
          label="Hosts whose TLS is left alone"
          hint="For clients that accept the host's own certificate only. They get no credential."
          {...typed(part, 'passthroughHosts')}
        />
        <ChoiceField
          id="environment"
          label="Environment of its sessions"
          hint="What they may reach beside the hosts here. Environments are made over the API."
          none="None"
          choices={environments}
          {...typed(part, 'environmentId')}
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
