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
  | 'dlv'
  | 'anchor'
  | 'sesn'
  | 'msg'
  | 'turn'
  | 'sevt'
  | 'action'
  | 'apr'
  | 'apr'
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
  for (const byte of randomBytes(15)) chance += alphabet[byte % 36];
  return `${prefix}_${time}${chance}`;
}
