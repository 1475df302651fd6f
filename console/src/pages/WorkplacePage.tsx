import { useEffect } from 'react';
import { NoticeBanner } from '../attention/NoticeBanner.tsx';
import { useAttention } from '../attention/useAttention.ts';
import { useStored } from '../live/useStored.ts';
import { useWorkplace } from '../live/useWorkplace.ts';
import type { WorkplaceState } from '../workplace-api.ts';
import { Header } from './Header.tsx';
import { ModelNote } from './ModelNote.tsx';
import { Tools } from './Tools.tsx';
import { isFinal, TroublePage } from './TroublePage.tsx';

/** `/workplace`: the emulated Slack, GitHub and Linear side by side, live. */
export function WorkplacePage() {
  const { state, error, live, refresh } = useWorkplace();
  useEffect(() => {
    document.title = 'Workplace · Tagalong';
  }, []);

  // A page that was shown once stays through a restart of the server; it goes only where trying again cannot help.
  if (error !== undefined && (state === undefined || isFinal(error)))
    return <TroublePage error={error} retry={refresh} />;
  if (state === undefined) return <p className="loading">Opening the workplace…</p>;
  return <Workplace state={state} connected={live && error === undefined} refresh={refresh} />;
}

interface WorkplaceProps {
  state: WorkplaceState;
  connected: boolean;
  refresh: () => void;
}

function Workplace({ state, connected, refresh }: WorkplaceProps) {
  const { notices, waiting } = useAttention();
  const [personId, setPersonId] = useStored('person', '');
  const person = state.people.find(({ id }) => id === personId) ?? state.people[0];
  if (person === undefined) return <p className="loading">This workplace has no people to act as.</p>;
  return (
    <div className="workplace">
      <Header state={state} person={person} choosePerson={setPersonId} waiting={waiting} />
      <NoticeBanner notices={notices} />
      <ModelNote model={state.model} />
      <output className={connected ? 'connection' : 'connection connection-lost'}>
        {connected ? '' : 'Connection lost. Reconnecting…'}
      </output>
      <Tools state={state} person={person} refresh={refresh} />
    </div>
  );
}
