import { randomBytes } from 'node:crypto';

/** What an identifier belongs to; the prefix makes a wrong one visible at a glance. */
export type IdPrefix =
  | 'org'
  | 'agent'
  | 'pub'
  | 'inst'
  | 'secret'
  | 'vlt'
  | 'cred'
  | 'grant'
  | 'env'
  | 'dlv'
  | 'anchor'
  | 'sesn'
  | 'msg'
  | 'turn'
  | 'sevt'
  | 'action'
  | 'apr'
  | 'ntc'
  | 'nurl'
  | 'out'
  | 'egr'
  | 'key'
  | 'worker';

const alphabet = '0123456789abcdefghijklmnopqrstuvwxyz';

/**
 * A new identifier: `<prefix>_<9 characters of time><15 characters of chance>`, base 36. Identifiers of one
 * prefix sort by the millisecond in which they were made, and cannot be guessed (about 77 random bits).
 */
export function newId(prefix: IdPrefix, now: number = Date.now()): string {
  return `${firstIdAt(prefix, now)}${chance()}`;
}

/** What sorts before every identifier that was made in this millisecond or later, and behind all older ones. */
export function firstIdAt(prefix: IdPrefix, nowMs: number): string {
  return `${prefix}_${nowMs.toString(36).padStart(9, '0')}`;
}

/** The millisecond in which an identifier was made; undefined for what is none. */
export function idTimeMs(id: string): number | undefined {
  const time = /^[a-z]+_([0-9a-z]{9})/.exec(id)?.[1];
  return time === undefined ? undefined : Number.parseInt(time, 36);
}

const charactersEach = 15;
let drawn = '';
let used = 0;

/** Drawn for many identifiers at once: to ask for a little chance costs as much as to ask for much. */
function chance(): string {
  if (used >= drawn.length) {
    const bytes = randomBytes(charactersEach * 256);
    drawn = String.fromCharCode(...bytes.map((byte) => alphabet.charCodeAt(byte % alphabet.length)));
    used = 0;
  }
  used += charactersEach;
  return drawn.slice(used - charactersEach, used);
}
