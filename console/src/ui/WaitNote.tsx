import { useWait } from '../live/useWait.ts';
import type { Presence } from '../presence.ts';
import type { Agent } from '../workplace-api.ts';

/** What the agent does about the last question here: nothing yet, working, or silent for longer than it should be. */
export function WaitNote({ presence, agent }: { presence: Presence; agent: Agent }) {
  const wait = useWait(presence.asked, presence.working !== undefined);
  if (presence.working !== undefined) {
    return (
      <p className="wait-note wait-note-working">
        <Dots />
        {agent.name} {presence.working}
      </p>
    );
  }
  if (wait === 'waiting') {
    return (
      <p className="wait-note">
        <Dots />
        Sent. Waiting for {agent.name}…
      </p>
    );
  }
  if (wait === 'overdue') {
    return (
      <p className="wait-note wait-note-overdue">
        No sign of {agent.name} yet. By default it does not answer guests; for everyone else{' '}
        <code>npx tagalong doctor</code> finds out what is wrong.
      </p>
    );
  }
  return null;
}

function Dots() {
  return (
    <span className="dots" aria-hidden="true">
      <i />
      <i />
      <i />
    </span>
  );
}
