import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { descendantsOf } from '../../src/sandbox/processes.ts';
import type { TestServer } from './server.ts';

/**
 * The folder with `workspace/` and `home/` of a session whose sandbox is up. Where it is a disk of its own only its
 * sandbox has it mounted: it is looked at through the outermost process of it. Undefined when the sandbox is not up.
 */
export function sessionFolder(server: TestServer, sessionId: string): string | undefined {
  const directory = join(server.home, 'open', 'sessions', sessionId);
  for (const pid of descendantsOf(server.process.pid ?? 0)) {
    try {
      const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8');
      if (mounts.includes(` ${directory}/disk `))
        return join('/proc', String(pid), 'root', directory, 'disk');
      // Plain folders are shown as what is bound into the sandbox.
      if (mounts.includes(`${sessionId}/workspace /workspace `)) return directory;
    } catch {
      // Gone meanwhile.
    }
  }
  return undefined;
}
