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
  const time = now.toString(36).padStart(9, '0');
  let chance = '';
  for (const byte of chanceBytes()) chance += alphabet[byte % 36];
  return `${prefix}_${time}${chance}`;
}

const bytesEach = 15;
let drawn = Buffer.alloc(0);
let used = 0;

/** Drawn for many ids at once: to ask for few bytes costs as much as to ask for many. */
function chanceBytes(): Buffer {
  if (used >= drawn.length) {
    drawn = randomBytes(bytesEach * 256);
    used = 0;
  }
  used += bytesEach;
  return drawn.subarray(used - bytesEach, used);
}
