import { secretForms } from '../secret-forms.ts';

/** Finds secrets in what goes by, in any of their usual forms, and puts as many `*` in their place. */
export class Redaction {
  readonly #forms: readonly string[];
  readonly #pattern: RegExp | undefined;
  /** How often something was found. */
  hits = 0;

  constructor(secrets: readonly string[] | Redaction) {
    if (secrets instanceof Redaction) {
      this.#forms = secrets.#forms;
      this.#pattern = secrets.#pattern;
      return;
    }
    // Longer ones first, so that a form that holds another is found whole.
    this.#forms = [...new Set(secrets.flatMap(secretForms))].sort((a, b) => b.length - a.length);
    this.#pattern =
      this.#forms.length > 0
        ? new RegExp(this.#forms.map((form) => form.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')).join('|'), 'g')
        : undefined;
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

  /** How many bytes at the end may be the beginning of a secret. */
  #held(text: string): number {
    let most = 0;
    for (const form of this.#forms) {
      for (let length = Math.min(form.length - 1, text.length); length > most; length--) {
        if (text.endsWith(form.slice(0, length))) most = length;
      }
    }
    return most;
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
        const left = Buffer.from(carry, 'latin1');
        carry = '';
        return left;
      },
      holds: () => carry !== '',
    };
  }
}
