import type { Author } from '../workplace-api.ts';
import { Icon } from './Icon.tsx';

const tones = 6;

/** The picture of a person (initials, in a colour that stays the same) or of an agent. */
export function Avatar({ author, initials }: { author: Author; initials?: string | undefined }) {
  if (author.isBot) {
    return (
      <span className="avatar avatar-bot" aria-hidden="true">
        <Icon name="bot" />
      </span>
    );
  }
  return (
    <span className={`avatar avatar-tone-${toneOf(author.name)}`} aria-hidden="true">
      {initials ?? initialsOf(author.name)}
    </span>
  );
}

function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/);
  const last = words.length > 1 ? words.at(-1) : undefined;
  return [words[0], last].map((word) => [...(word ?? '')][0]?.toUpperCase() ?? '').join('');
}

function toneOf(name: string): number {
  return [...name].reduce((sum, char) => (sum * 31 + (char.codePointAt(0) ?? 0)) % 9973, 7) % tones;
}
