import type { Config } from '../config.ts';
import { findHome } from '../store/home.ts';
import { lockHome } from '../store/home-lock.ts';
import { previousRootKeyFile, rotateRootKey } from '../vault/root-key.ts';

/** Replaces the root key that the home keeps. Answers the exit code. */
export function rotateKey(config: Config): number {
  const no = (message: string) => {
    process.stderr.write(`${message}\n`);
    return 1;
  };
  if (config.rootKey) {
    return no(
      'The root key is yours, in TAGALONG_ROOT_KEY: set the new one there and the old one as TAGALONG_ROOT_KEY_PREVIOUS, and start again. docs/credentials.md has the steps for several processes.',
    );
  }
  const home = findHome(config.home);
  if (!home) return no(`There is no Tagalong in ${config.home}.`);
  const unlock = lockHome(home);
  try {
    rotateRootKey(home);
  } finally {
    unlock();
  }
  process.stdout.write(
    `There is a new root key. Start Tagalong: it seals everything anew. When \`doctor\` says that nothing is left, remove ${previousRootKeyFile(home)}, and back up the new key.\n`,
  );
  return 0;
}
