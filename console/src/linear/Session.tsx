import { linearPresence } from '../presence.ts';
import { WaitNote } from '../ui/WaitNote.tsx';
import type { LinearSession, WorkplaceState } from '../workplace-api.ts';
import { Activity } from './Activity.tsx';
import { StatusPill } from './StatusPill.tsx';

/** One agent session: its status and everything that was said and done in it. */
export function Session({ session, state }: { session: LinearSession; state: WorkplaceState }) {
  return (
    <section className="session" aria-label={`Session with ${state.agent.name}`}>
      <header className="session-head">
        <span>Session with {state.agent.name}</span>
        <StatusPill session={session} />
      </header>
      {session.activities.map((activity) => (
        <Activity key={activity.id} activity={activity} state={state} />
      ))}
      <WaitNote presence={linearPresence(session)} agent={state.agent} />
    </section>
  );
}
