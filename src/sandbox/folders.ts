import { chmodSync, chownSync, lchownSync, lstatSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SandboxError } from './sandbox.ts';

/** The two folders that the agent writes. */
export interface WritableFolders {
  workspace: string;
  home: string;
}

export const folderNames = ['workspace', 'home'] as const;

/**
 * Makes the session's folder. It stays ours and lets in the session's group only. What an agent may have put in the
 * place of a folder is refused: as root we never follow a link of its making.
 */
export function prepareSessionFolder(directory: string, uid: number | undefined): void {
  const parent = dirname(directory);
  // Whatever the umask: the session's uid has to walk through.
  if (mkdirSync(parent, { recursive: true }) !== undefined) chmodSync(parent, 0o711);
  mkdirSync(directory, { recursive: true });
  ownFolder(directory);
  if (uid === undefined) {
    chmodSync(directory, 0o700);
  } else {
    chownSync(directory, 0, uid);
    chmodSync(directory, 0o710);
  }
}

/** Makes `workspace/` and `home/` in a folder of ours; the two belong to the session. */
export function prepareWritable(directory: string, uid: number | undefined): WritableFolders {
  const folders = { workspace: join(directory, 'workspace'), home: join(directory, 'home') };
  for (const folder of Object.values(folders)) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    ownFolder(folder);
    if (uid !== undefined) lchownSync(folder, uid, uid);
    // The parent is ours, so the entry cannot have changed since it was looked at.
    chmodSync(folder, 0o700);
  }
  return folders;
}

function ownFolder(folder: string): void {
  if (!lstatSync(folder).isDirectory()) {
    throw new SandboxError(
      'start_failed',
      `${folder} is not a folder (a link or a file stands there). Remove it.`,
    );
  }
}
