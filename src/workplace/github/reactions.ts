/** What a reaction hangs on: an issue by its number, a comment by its id. */
export interface ReactionSubject {
  kind: 'issues' | 'issues/comments' | 'pulls/comments';
  repository: string;
  id: number;
}

export interface Reaction extends ReactionSubject {
  reactionId: number;
  login: string;
  content: string;
  createdAt: string;
}

export const reactionContents = [
  '+1',
  '-1',
  'laugh',
  'confused',
  'heart',
  'hooray',
  'rocket',
  'eyes',
] as const;

/** Reactions to issues and comments, which the emulator lacks. */
export class Reactions {
  #all: Reaction[];
  #nextId: number;

  constructor(saved: Reaction[] = []) {
    this.#all = saved;
    this.#nextId = Math.max(0, ...saved.map(({ reactionId }) => reactionId)) + 1;
  }

  /** Adds a reaction, or finds the one that the same person already gave. */
  add(
    subject: ReactionSubject,
    login: string,
    content: string,
    now: Date,
  ): { reaction: Reaction; isNew: boolean } {
    const existing = this.of(subject).find((found) => found.login === login && found.content === content);
    if (existing) return { reaction: existing, isNew: false };
    const reaction = { ...subject, reactionId: this.#nextId++, login, content, createdAt: now.toISOString() };
    this.#all.push(reaction);
    return { reaction, isNew: true };
  }

  of(subject: ReactionSubject): Reaction[] {
    return this.#all.filter(
      ({ kind, repository, id }) =>
        kind === subject.kind && repository === subject.repository && id === subject.id,
    );
  }

  /** Takes a reaction away; false when there is none of that id on the subject. */
  remove(subject: ReactionSubject, reactionId: number): boolean {
    const found = this.of(subject).find((reaction) => reaction.reactionId === reactionId);
    this.#all = this.#all.filter((reaction) => reaction !== found);
    return found !== undefined;
  }

  /** How often each content was given, in GitHub's order of contents. */
  counts(subject: ReactionSubject): { name: string; count: number }[] {
    const given = this.of(subject);
    return reactionContents
      .map((name) => ({ name, count: given.filter(({ content }) => content === name).length }))
      .filter(({ count }) => count > 0);
  }

  state(): Reaction[] {
    return this.#all;
  }
}
