import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

const systemFolders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** The absolute path of a program on the given PATH and, where `system` is set, in the usual folders. */
export function findProgram(name: string, path: string | undefined, system: boolean): string | undefined {
  const folders = [...(path ?? '').split(':').filter((folder) => folder.startsWith('/'))];
  if (system) folders.push(...systemFolders);
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
