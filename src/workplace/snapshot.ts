import { renameSync, writeFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

const fileName = 'workplace.json';
const formatVersion = 1;

/** Keeps the workplace's whole state in one file, 0600, replaced atomically. */
export interface SnapshotFile {
  /** Says that something changed; the file is written within `delayMs` of the first change since the last writing. */
  changed(): void;
  /** Writes what has changed, now. */
  flush(): void;
  /** Writes for the last time; later changes are not written. */
  close(): void;
}

/** The state that was saved in a folder, or undefined when there is none. A file of another format is refused. */
export async function loadSnapshot<State>(folder: string): Promise<State | undefined> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, fileName);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  const saved = parsed(text);
  if (typeof saved === 'object' && saved !== null && 'version' in saved && 'state' in saved) {
    if (saved.version === formatVersion) return saved.state as State;
  }
  throw new Error(
    `The workplace's state in ${path} cannot be read by this version. Move the file away to start with a new workplace.`,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Writes `take()` into a folder soon after each change. Synchronous on purpose: what is taken is consistent, and the
 * last writing must also work while the process is ending.
 */
export function openSnapshot<State>(folder: string, take: () => State, delayMs: number): SnapshotFile {
  const path = join(folder, fileName);
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const write = (): void => {
    clearTimeout(timer);
    timer = undefined;
    const temporary = `${path}.${process.pid}.tmp`;
    writeFileSync(temporary, JSON.stringify({ version: formatVersion, state: take() }), { mode: 0o600 });
    renameSync(temporary, path);
  };
  return {
    changed() {
      if (closed || timer) return;
      timer = setTimeout(() => {
        try {
          write();
        } catch (error) {
          // The next change tries again; until then the workplace goes on with what it holds.
          process.emitWarning(`The workplace's state could not be saved in ${path}: ${String(error)}`);
        }
      }, delayMs);
    },
    flush() {
      if (timer) write();
    },
    close() {
      if (closed) return;
      write();
      closed = true;
    },
  };
}
