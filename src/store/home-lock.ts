import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Home } from './home.ts';

export class HomeInUseError extends Error {
  override name = 'HomeInUseError';
}

/** When a process started, in ticks since the boot: tells a process from a later one with the same id. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function isSameProcess(pid: number, started: string | undefined): boolean {
  if (process.platform === 'linux') return started !== undefined && startTime(pid) === started;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/**
 * Makes sure that one server runs on a home. What a killed server left does not count.
 * @returns a function that gives the home free again
 * @throws HomeInUseError with the process id of the one that runs
 */
export function lockHome(home: Home): () => void {
  const file = join(home.private, 'server.pid');
  const holder = runningServer(home);
  if (holder !== undefined && holder !== process.pid) {
    throw new HomeInUseError(
      `Tagalong runs on ${home.root} already (process ${holder}). Stop it first, or set TAGALONG_HOME to another folder.`,
    );
  }
  writeFileSync(file, `${process.pid} ${startTime(process.pid) ?? ''}\n`, { mode: 0o600 });
  return () => rmSync(file, { force: true });
}

/** The process id of the server that runs on this home, if one does. */
export function runningServer(home: Home): number | undefined {
  try {
    const [pid, started] = readFileSync(join(home.private, 'server.pid'), 'utf8').trim().split(' ');
    return isSameProcess(Number(pid), started) ? Number(pid) : undefined;
  } catch {
    return undefined;
  }
}
