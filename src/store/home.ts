import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** Where the installation keeps its things. */
export interface Home {
  /** `TAGALONG_HOME`, absolute. */
  root: string;
  /** 0700: root key, passwords, sockets' secrets. */
  private: string;
  /**
   * A folder that other uids can walk through: Postgres, Node and the agent's bundle for the uids that run them, and
   * the sessions' folders. Below the home where that can be entered, else below `/var/lib/tagalong`.
   */
  open: string;
}

const elsewhereRoot = '/var/lib/tagalong';

function othersMayEnter(directory: string): boolean {
  for (let current = directory; ; current = dirname(current)) {
    if ((statSync(current).mode & 0o001) === 0) return false;
    if (current === dirname(current)) return true;
  }
}

/** Makes the folders of a home, with the modes that they need, and says where they are. */
export function openHome(root: string): Home {
  const absolute = resolve(root);
  mkdirSync(absolute, { recursive: true, mode: 0o711 });
  const home = { root: absolute, private: join(absolute, 'private'), open: openFolder(absolute) };
  mkdirSync(home.private, { recursive: true, mode: 0o700 });
  chmodSync(home.private, 0o700);
  if (home.open.startsWith(absolute) && process.getuid?.() === 0) chmodSync(absolute, 0o711);
  mkdirSync(home.open, { recursive: true, mode: 0o711 });
  chmodSync(home.open, 0o711);
  return home;
}

/** Where the folders of a home are; undefined where Tagalong has not run yet. Makes nothing. */
export function findHome(root: string): Home | undefined {
  const absolute = resolve(root);
  const home = { root: absolute, private: join(absolute, 'private') };
  if (!existsSync(home.private)) return undefined;
  const open = openFolder(absolute);
  return existsSync(open) ? { ...home, open } : undefined;
}

function openFolder(absolute: string): string {
  if (process.getuid?.() !== 0) return join(absolute, 'open');
  const hash = createHash('sha256').update(absolute).digest('hex').slice(0, 12);
  const elsewhere = join(elsewhereRoot, hash);
  if (existsSync(elsewhere)) return elsewhere;
  return othersMayEnter(dirname(absolute)) ? join(absolute, 'open') : elsewhere;
}
