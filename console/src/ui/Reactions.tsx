import type { Reaction } from '../workplace-api.ts';
import { Icon, type IconName } from './Icon.tsx';

const icons: Record<string, IconName> = {
  eyes: 'eyes',
  white_check_mark: 'check',
  heavy_check_mark: 'check',
  x: 'cross',
};
const signs: Record<string, string> = {
  '+1': '👍',
  '-1': '👎',
  heart: '❤️',
  tada: '🎉',
  rocket: '🚀',
  laugh: '😄',
};

/** The reactions below a message. The eyes are the agent's sign that it has seen it. */
export function Reactions({ reactions }: { reactions: Reaction[] }) {
  if (reactions.length === 0) return null;
  return (
    <ul className="reactions" aria-label="Reactions">
      {reactions.map(({ name, count }) => (
        <li key={name} title={name === 'eyes' ? 'Seen, working on it' : name}>
          <span className="visually-hidden">{name.replaceAll('_', ' ')}</span>
          <span className="reaction-sign" aria-hidden="true">
            {icons[name] ? <Icon name={icons[name]} /> : (signs[name] ?? `:${name}:`)}
          </span>
          {count}
        </li>
      ))}
    </ul>
  );
}
