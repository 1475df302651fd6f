import { CheckField, ListField, NumberField, type PolicyPartProps } from './PolicyFields.tsx';

/** Who decides over what the agent asks leave for. */
export function PolicyApprovals({ form, problems, set }: PolicyPartProps) {
  return (
    <fieldset className="policy-part">
      <legend>Who approves</legend>
      <p className="muted small">For everything that is on ask. It is asked in the thread, and here.</p>
      <ListField
        id="approvers"
        label="Only these people"
        hint="As on the list above. Empty: anybody with authority."
        value={form.approvers}
        problem={problems.approvers}
        change={(value) => set('approvers', value)}
      />
      <div className="policy-pair">
        <NumberField
          id="needed"
          label="How many must approve"
          usual={1}
          value={form.needed}
          problem={problems.needed}
          change={(value) => set('needed', value)}
        />
        <NumberField
          id="expires"
          label="Ends by itself after, minutes"
          usual={60}
          value={form.expiresMinutes}
          problem={problems.expiresMinutes}
          change={(value) => set('expiresMinutes', value)}
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
