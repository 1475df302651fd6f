import type { Provider } from './api.ts';
import { CheckField, ListField, type PolicyPartProps, typed } from './PolicyFields.tsx';
import type { PolicyForm } from './policy-form.ts';
import { policyWords } from './policy-words.ts';

/** Who may set the agent to work, and where. */
export function PolicyAuthority({ provider, ...part }: PolicyPartProps & { provider: Provider }) {
  const { form, set } = part;
  const words = policyWords[provider];
  const choices: { who: PolicyForm['who']; label: string; hint: string }[] = [
    { who: 'default', label: words.authority, hint: 'And whoever is on the list below.' },
    { who: 'listed', label: 'Only people on the list', hint: 'Everybody else is ignored.' },
    {
      who: 'everyone',
      label: 'Everybody who can write there',
      hint: 'Those without authority may ask; all but replying then needs an approval.',
    },
  ];
  return (
    <>
      <fieldset className="choices">
        <legend>Who may address it</legend>
        {choices.map(({ who, label, hint }) => (
          <label key={who} className={form.who === who ? 'choice choice-chosen' : 'choice'}>
            <input type="radio" name="who" checked={form.who === who} onChange={() => set('who', who)} />
            <span>
              <strong>{label}</strong>
              <span className="muted">{hint}</span>
            </span>
          </label>
        ))}
      </fieldset>
      <ListField
        id="people"
        label="People on the list"
        hint={`${words.people} They have authority, whatever their role is.`}
        placeholder={words.peopleExample}
        {...typed(part, 'people')}
      />
      {words.teams && (
        <ListField
          id="teams"
          label="Teams on the list"
          hint={words.teams}
          placeholder="acme/maintainers"
          {...typed(part, 'teams')}
        />
      )}
      <ListField
        id="places"
        label={words.places}
        hint={words.placesHint}
        placeholder={words.placesExample}
        {...typed(part, 'places')}
      />
      {form.who !== 'listed' && (
        <fieldset className="policy-checks">
          <legend>Also let in, without authority</legend>
          {form.who === 'default' && words.guests && (
            <CheckField
              id="guests"
              label={words.guests}
              checked={form.guests}
              change={(on) => set('guests', on)}
            />
          )}
          {form.who === 'default' && words.external && (
            <CheckField
              id="external"
              label={words.external}
              checked={form.external}
              change={(on) => set('external', on)}
            />
          )}
          <CheckField
            id="bots"
            label="Other bots that mention it"
            hint="Bounded, so that two agents do not talk for ever."
            checked={form.bots}
            change={(on) => set('bots', on)}
          />
        </fieldset>
      )}
    </>
  );
}
