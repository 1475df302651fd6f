import { keepNewest } from '../keep-newest.ts';

const windowMs = 60_000;
const maxTries = 20;
const maxSources = 10_000;

/** Counts wrong tries by where they come from, in a bounded table. */
export class FailedTries {
  readonly #now: () => number;
  readonly #sources = new Map<string, { since: number; tries: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Notes a wrong try; says how many there were in this minute, and whether that is too many. */
  note(source: string): { tries: number; tooMany: boolean } {
    const now = this.#now();
    const known = this.#sources.get(source);
    const entry = known && now - known.since < windowMs ? known : { since: now, tries: 0 };
    entry.tries += 1;
    // Put at the end, so that who has been quiet for longest is forgotten first.
    keepNewest(this.#sources, source, entry, maxSources);
    return { tries: entry.tries, tooMany: entry.tries > maxTries };
  }
}
