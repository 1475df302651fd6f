import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeRootKey } from '../config-values.ts';
import type { Home } from '../store/home.ts';

export class RootKeyError extends Error {
  override name = 'RootKeyError';
}

/** Where the key of the embedded database is kept, 0600. */
export function rootKeyFile(home: Home): string {
  return join(home.private, 'root-key');
}

/** Where the one is kept that it replaces. */
export function previousRootKeyFile(home: Home): string {
  return join(home.private, 'root-key.previous');
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
  if (existsSync(file)) return readKeyFile(file);
  if (hasData) {
    throw new RootKeyError(
      `The root key ${file} is missing, but there is data in ${home.open} that only it can open. Restore the file, or set TAGALONG_ROOT_KEY; to start anew, remove both folders.`,
    );
  }
  const key = randomBytes(32);
  writeKeyFile(file, key);
  return key;
}

/** The key that is being replaced: the operator's, else the one that `rotate-key` put aside. Undefined: there is none. */
export function loadPreviousRootKey(
  home: Home,
  configured: { rootKey: Uint8Array | undefined; previousRootKey: Uint8Array | undefined },
): Uint8Array | undefined {
  if (configured.rootKey) return configured.previousRootKey;
  const file = previousRootKeyFile(home);
  return existsSync(file) ? readKeyFile(file) : undefined;
}

/**
 * Puts the home's key aside and makes a new one in its place; what the old one sealed is sealed anew at the next start.
 * Killed anywhere in it, both files hold a key that opens everything.
 *
 * @throws RootKeyError when there is no key yet, or one is being replaced already
 */
export function rotateRootKey(home: Home): void {
  const [file, previous] = [rootKeyFile(home), previousRootKeyFile(home)];
  if (!existsSync(file)) throw new RootKeyError(`There is no ${file} yet: it is made at the first start.`);
  const key = readKeyFile(file);
  if (existsSync(previous) && !Buffer.from(readKeyFile(previous)).equals(key)) {
    throw new RootKeyError(
      `A root key is being replaced already. Start Tagalong, and when \`doctor\` says that nothing is left, remove ${previous}.`,
    );
  }
  rmSync(previous, { force: true });
  writeKeyFile(previous, key);
  const next = `${file}.next`;
  rmSync(next, { force: true });
  writeKeyFile(next, randomBytes(32));
  renameSync(next, file);
}

function readKeyFile(file: string): Uint8Array {
  const key = decodeRootKey(readFileSync(file, 'utf8'));
  if (!key) throw new RootKeyError(`${file} does not hold 32 bytes in base64url. Restore it from a backup.`);
  chmodSync(file, 0o600);
  return key;
}

/** On disk when this returns: what is sealed with it must never be without it. */
function writeKeyFile(file: string, key: Uint8Array): void {
  const text = `${Buffer.from(key).toString('base64url')}\n`;
  writeFileSync(file, text, { mode: 0o600, flag: 'wx', flush: true });
}
