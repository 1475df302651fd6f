import type { ReactNode } from 'react';
import type { Author, Person } from '../workplace-api.ts';
import { Avatar } from './Avatar.tsx';

export interface PostProps {
  author: Author;
  people: Person[];
  /** Time of day in words; empty when the tool gives none. */
  time?: string;
  /** What kind of post it is, when that matters. */
  kind?: string;
  /** A class for how it looks. */
  variant?: string;
  children: ReactNode;
}

/** What someone wrote: who, when, and the text. */
export function Post({ author, people, time, kind, variant, children }: PostProps) {
  const initials = people.find((person) => person.name === author.name)?.avatarInitials;
  return (
    <article className={variant ? `post ${variant}` : 'post'}>
      <Avatar author={author} initials={initials} />
      <div className="post-body">
        <header>
          <strong>{author.name}</strong>
          {author.isBot && <span className="badge">agent</span>}
          {kind && <span className="post-kind">{kind}</span>}
          {time && <time>{time}</time>}
        </header>
        {children}
      </div>
    </article>
  );
}
