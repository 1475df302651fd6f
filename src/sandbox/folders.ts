import { chmodSync, chownSync, lchownSync, lstatSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SandboxError } from './sandbox.ts';

export interface SessionFolders {
  workspace: string;
  home: string;
}

/**
 * Makes the session's folder with `workspace/` and `home/` in it. The folder itself stays ours and lets in the
 * session's group only; the two belong to the session. What an agent may have put in their place is refused: as root
 * we never follow a link of its making.
 */
export function prepareSessionFolders(directory: string, uid: number | undefined): SessionFolders {
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
