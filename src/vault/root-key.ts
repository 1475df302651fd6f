import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeRootKey } from '../config.ts';
import type { Home } from '../store/home.ts';

export class RootKeyError extends Error {
  override name = 'RootKeyError';
}

/** Where the key of the embedded database is kept, 0600. */
export function rootKeyFile(home: Home): string {
  return join(home.private, 'root-key');
}

/**
 * The key from which all others are derived: the operator's, else the one that is kept in the home, made at the first
 * start. Without it nothing that was sealed opens again, so it is never made anew beside data that exists.
 *
 * @param hasData whether the embedded database exists already
 * @throws RootKeyError when it is missing beside data, or cannot be read
 */
export function loadRootKey(home: Home, configured: Uint8Array | undefined, hasData: boolean): Uint8Array {
  if (configured) return configured;
  const file = rootKeyFile(home);
  if (existsSync(file)) {
    const key = decodeRootKey(readFileSync(file, 'utf8'));
    if (!key)
      throw new RootKeyError(`${file} does not hold 32 bytes in base64url. Restore it from a backup.`);
    chmodSync(file, 0o600);
    return key;
  }
  if (hasData) {
    throw new RootKeyError(
      `The root key ${file} is missing, but there is data in ${home.open} that only it can open. Restore the file, or set TAGALONG_ROOT_KEY; to start anew, remove both folders.`,
    );
  }
  const key = randomBytes(32);
  writeFileSync(file, `${key.toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
  return key;
}
