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

function othersMayEnter(directory: string): boolean {
  for (let current = directory; ; current = dirname(current)) {
    if ((statSync(current).mode & 0o001) === 0) return false;
    if (current === dirname(current)) return true;
  }
}

/** Makes the folders of a home, with the modes that they need, and says where they are. */
export function openHome(root: string): Home {
  const absolute = resolve(root);
  const isRoot = process.getuid?.() === 0;
  mkdirSync(absolute, { recursive: true, mode: 0o711 });
  const privateFolder = join(absolute, 'private');
  mkdirSync(privateFolder, { recursive: true, mode: 0o700 });
  chmodSync(privateFolder, 0o700);
  const open = openFolder(absolute, isRoot);
  mkdirSync(open, { recursive: true, mode: 0o711 });
  chmodSync(open, 0o711);
  return { root: absolute, private: privateFolder, open };
}

function openFolder(absolute: string, isRoot: boolean): string {
  if (!isRoot) return join(absolute, 'open');
  const elsewhere = join(
    '/var/lib/tagalong',
    createHash('sha256').update(absolute).digest('hex').slice(0, 12),
  );
  if (existsSync(elsewhere)) return elsewhere;
  if (othersMayEnter(dirname(absolute))) {
    chmodSync(absolute, 0o711);
    return join(absolute, 'open');
  }
  mkdirSync('/var/lib/tagalong', { recursive: true, mode: 0o711 });
  return elsewhere;
}
