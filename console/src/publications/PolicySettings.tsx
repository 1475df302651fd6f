import { type FormEvent, useCallback, useState } from 'react';
import { ApiError } from '../api.ts';
import { useAction } from '../live/useAction.ts';
import { usePolled } from '../live/usePolled.ts';
import { ErrorNote } from '../ui/ErrorNote.tsx';
import { listEnvironments, listVaults, type Setup, saveSettings } from './api.ts';
import { PolicyAdvanced } from './PolicyAdvanced.tsx';
import { PolicyApprovals } from './PolicyApprovals.tsx';
import { PolicyAuthority } from './PolicyAuthority.tsx';
import type { PolicyPartProps } from './PolicyFields.tsx';
import { formOf, type PolicyForm, type PolicyProblems, placeProblems, policyOf } from './policy-form.ts';

/** Who may address the agent, who decides over what it asks, and how far it reaches: saved as a whole. */
export function PolicySettings({ setup, refresh }: { setup: Setup; refresh: () => Promise<void> }) {
  const [edited, setEdited] = useState<PolicyForm>();
  const [tried, setTried] = useState(false);
  const [refused, setRefused] = useState<PolicyProblems>({});
  const [saved, setSaved] = useState(false);
  const { busy, problem, run } = useAction();
  const { value: vaults } = usePolled(
    useCallback(() => listVaults(), []),
    null,
  );
  const { value: environments } = usePolled(
    useCallback(() => listEnvironments(), []),
    null,
  );
  const form = edited ?? formOf(setup.policy);
  const { policy, problems: found } = policyOf(form);
  const problems = { ...refused, ...(tried ? found : {}) };
  const set: PolicyPartProps['set'] = (name, value) => {
    setEdited({ ...form, [name]: value });
    setRefused((before) => ({ ...before, [name]: undefined }));
    setSaved(false);
  };
  const forget = () => {
    setEdited(undefined);
    setRefused({});
    setTried(false);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (Object.keys(found).length > 0) return;
    void run(async () => {
      try {
        await saveSettings(setup.publication_id, { policy });
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        const placed = placeProblems(error.message);
        setRefused(placed.problems);
        if (placed.rest !== undefined) throw new ApiError(error.status, placed.rest);
        return;
      }
      await refresh();
      forget();
      setSaved(true);
    });
  };
  const wrong = Object.values(problems).some((each) => each !== undefined);
  const part = { form, problems, set };
  return (
    <form className="card policy" aria-labelledby="policy-title" onSubmit={submit} noValidate>
      <h3 id="policy-title">Who may use it</h3>
      <PolicyAuthority provider={setup.provider} {...part} />
      <PolicyApprovals {...part} />
      <PolicyAdvanced vaults={vaults ?? []} environments={environments ?? []} {...part} />
      {problem && <ErrorNote message={problem} />}
      {wrong && <p className="field-problem">Something above is not right yet.</p>}
      <div className="form-actions">
        <button className="button button-primary" type="submit" disabled={busy || edited === undefined}>
          Save
        </button>
        {edited !== undefined && (
          <button className="button" type="button" disabled={busy} onClick={forget}>
            Undo the changes
          </button>
        )}
        <output className="saved">{saved ? 'Saved.' : ''}</output>
      </div>
    </form>
  );
}
