import { keepNewest } from '../keep-newest.ts';
import { secretForms } from '../secret-forms.ts';

/** A secret that was replaced stays in memory until so many others came. */
const maxMade = 200;
const nothing = Buffer.alloc(0);

/** Finds secrets in what goes by, in any of their usual forms, and puts as many `*` in their place. */
export class Redaction {
  readonly #forms: readonly string[];
  readonly #pattern: RegExp | undefined;
  /** By their first character, of which there are 256. */
  readonly #beginnings: readonly (readonly string[] | undefined)[];
  readonly #longest: number;
  /** How often something was found. */
  hits = 0;

  constructor(secrets: readonly string[] | Redaction) {
    if (secrets instanceof Redaction) {
      this.#forms = secrets.#forms;
      this.#pattern = secrets.#pattern;
      this.#beginnings = secrets.#beginnings;
      this.#longest = secrets.#longest;
      return;
    }
    // Longer ones first, so that a form that holds another is found whole.
    this.#forms = [...new Set(secrets.flatMap(secretForms))].sort((a, b) => b.length - a.length);
    this.#pattern =
      this.#forms.length > 0
        ? new RegExp(this.#forms.map((form) => form.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')).join('|'), 'g')
        : undefined;
    const beginnings: string[][] = [];
    for (const form of this.#forms) {
      const first = form.charCodeAt(0);
      beginnings[first] ??= [];
      beginnings[first].push(form);
    }
    this.#beginnings = beginnings;
    this.#longest = this.#forms[0]?.length ?? 0;
  }

  /** The same search with a count of its own. */
  fork(): Redaction {
    return new Redaction(this);
  }

  get active(): boolean {
    return this.#pattern !== undefined;
  }

  /** One header's value, as latin1. */
  text(value: string): string {
    if (!this.#pattern) return value;
    return value.replace(this.#pattern, (found) => {
      this.hits += 1;
      return '*'.repeat(found.length);
    });
  }

  /** Whether a text, as latin1, holds any. Counts nothing. */
  found(text: string): boolean {
    return this.#pattern !== undefined && text.search(this.#pattern) >= 0;
  }

  /** How many bytes at the end may be the beginning of a secret. */
  #held(text: string): number {
    for (let at = Math.max(0, text.length - this.#longest + 1); at < text.length; at++) {
      const forms = this.#beginnings[text.charCodeAt(at)];
      if (!forms) continue;
      const length = text.length - at;
      for (const form of forms) {
        // Most differ in their second character already.
        if (length > 1 && form.charCodeAt(1) !== text.charCodeAt(at + 1)) continue;
        if (form.length > length && form.startsWith(text.slice(at))) return length;
      }
    }
    return 0;
  }

  /** A search through one stream. `push` gives what is safe to pass on; `rest` gives what was held back. */
  stream(): { push(chunk: Buffer): Buffer; rest(): Buffer; holds(): boolean } {
    let carry = '';
    return {
      push: (chunk) => {
        const before = this.hits;
        const text = carry + chunk.toString('latin1');
        const clean = this.text(text);
        const held = this.#held(clean);
        const untouched = held === 0 && carry === '' && this.hits === before;
        carry = held > 0 ? clean.slice(clean.length - held) : '';
        return untouched ? chunk : Buffer.from(clean.slice(0, clean.length - held), 'latin1');
      },
      rest: () => {
        if (carry === '') return nothing;
        const left = Buffer.from(carry, 'latin1');
        carry = '';
        return left;
      },
      holds: () => carry !== '',
    };
  }
}

/** Searches that were made lately, by what they look for: to make one costs more than to use it. */
export class Redactions {
  readonly #made = new Map<string, Redaction>();

  /** A search of its own count. */
  for(secrets: readonly string[]): Redaction {
    const key = JSON.stringify(secrets);
    let made = this.#made.get(key);
    if (!made) {
      made = new Redaction(secrets);
      keepNewest(this.#made, key, made, maxMade);
    }
    return made.fork();
  }
}
