import { CheckField, ListField, NumberField, type PolicyPartProps, typed } from './PolicyFields.tsx';

/** Who decides over what the agent asks leave for. */
export function PolicyApprovals(part: PolicyPartProps) {
  const { form, set } = part;
  return (
    <fieldset className="policy-part">
      <legend>Who approves</legend>
      <p className="muted small">For everything that is on ask. It is asked in the thread, and here.</p>
      <ListField
        id="approvers"
        label="Only these people"
        hint="As on the list above. Empty: anybody with authority."
        {...typed(part, 'approvers')}
      />
      <div className="policy-pair">
        <NumberField id="needed" label="How many must approve" usual={1} {...typed(part, 'needed')} />
        <NumberField
          id="expires"
          label="Ends by itself after, minutes"
          usual={60}
          {...typed(part, 'expiresMinutes')}
        />
      </div>
      <CheckField
        id="self"
        label="Who asked may approve it too"
        checked={form.self}
        change={(on) => set('self', on)}
      />
    </fieldset>
  );
}
