import { useCallback } from 'react';
import { usePolled } from '../live/usePolled.ts';
import { fetchSetup, type Setup } from './api.ts';
import { CapabilitySettings } from './CapabilitySettings.tsx';
import { Checklist } from './Checklist.tsx';
import { Ending } from './Ending.tsx';
import { Frame, Waiting } from './Frame.tsx';
import { Handoff } from './Handoff.tsx';
import { PendingDifference } from './PendingDifference.tsx';
import { PolicySettings } from './PolicySettings.tsx';
import { Secrets } from './Secrets.tsx';
import { StatePill } from './StatePill.tsx';
import { Steps } from './Steps.tsx';

const liveMs = 2_000;

/** `/publications/{id}`: the steps with a live checklist, and then the settings. */
export function PublicationPage({ id }: { id: string }) {
  const ask = useCallback(() => fetchSetup(id), [id]);
  const { value: setup, error, refresh, setValue } = usePolled(ask, liveMs);
  if (setup === undefined) return <Waiting error={error} retry={refresh} />;
  return <Loaded setup={setup} refresh={refresh} setSetup={setValue} />;
}

interface LoadedProps {
  setup: Setup;
  refresh: () => Promise<void>;
  setSetup: (setup: Setup) => void;
}

function Loaded({ setup, refresh, setSetup }: LoadedProps) {
  const { name, provider_title: title, state, workspace, emulated, next } = setup;
  return (
    <Frame title={`${name} in ${title}`}>
      <a className="back-link" href="/publications">
        ← Publications
      </a>
      <div className="page-head">
        <div>
          <h2>
            {name} in {title}
          </h2>
          <p className="muted">
            {workspace ? `Installed in ${workspace}` : 'Not installed yet'}
            {emulated ? ', in the workplace on this machine' : ''}
          </p>
        </div>
        <StatePill state={state} />
      </div>
      {setup.state_reason && <p className="warning-note">{setup.state_reason}</p>}
      {setup.warning && next !== 'over' && <p className="warning-note">{setup.warning}</p>}
      {setup.pending_capabilities && (
        <PendingDifference setup={setup} pending={setup.pending_capabilities} refresh={refresh} />
      )}
      <div className="publication-columns">
        {next !== 'over' && <Steps setup={setup} refresh={refresh} setSetup={setSetup} />}
        <div className="publication-side">
          {next !== 'over' && <Checklist checks={setup.checklist} />}
          {next !== 'over' && setup.guided && <Handoff id={setup.publication_id} />}
          {next !== 'over' && state !== 'pending_setup' && <Secrets setup={setup} setSetup={setSetup} />}
        </div>
        <CapabilitySettings setup={setup} refresh={refresh} />
        {next !== 'over' && <PolicySettings setup={setup} refresh={refresh} />}
        <Ending setup={setup} refresh={refresh} />
      </div>
    </Frame>
  );
}
