import { Navigation } from '../attention/Navigation.tsx';
import { workingIn } from '../presence.ts';
import { Avatar } from '../ui/Avatar.tsx';
import { Brand } from '../ui/Brand.tsx';
import type { Person, WorkplaceState } from '../workplace-api.ts';

export interface HeaderProps {
  state: WorkplaceState;
  person: Person;
  choosePerson: (id: string) => void;
  /** How many requests wait for somebody's word. */
  waiting: number;
}

/** The head of the page: where one is, what the agent does, and who one is. */
export function Header({ state, person, choosePerson, waiting }: HeaderProps) {
  const { agent, people } = state;
  const working = workingIn(state);
  return (
    <header className="header">
      <Brand />
      <Navigation current="workplace" waiting={waiting} />
      <p className="header-note">
        An emulated Slack, GitHub and Linear on this machine. Ask {agent.name} something in any of them.
      </p>
      <p
        className={working.length > 0 ? 'agent-status agent-status-working' : 'agent-status'}
        aria-live="polite"
      >
        {working.length > 0 ? `${agent.name} is working in ${working.join(', ')}` : `${agent.name} is idle`}
      </p>
      <div className="person">
        <Avatar author={{ name: person.name, isBot: false }} initials={person.avatarInitials} />
        <label htmlFor="person">You are</label>
        <select id="person" value={person.id} onChange={(event) => choosePerson(event.target.value)}>
          {people.map(({ id, name, isGuest }) => (
            <option key={id} value={id}>
              {isGuest ? `${name} (guest)` : name}
            </option>
          ))}
        </select>
      </div>
    </header>
  );
}
