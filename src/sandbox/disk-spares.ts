import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createSpares, type Spares } from '../vault/spares.ts';
import { type DiskPrograms, makeImage } from './disk.ts';
import { processStart } from './processes.ts';

/**
 * Images made ahead, in a folder that only root enters. None was ever mounted: each is given to one session, and holds
 * nothing of another. Those of processes that are gone are removed at once.
 */
export function createSpareDisks(input: {
  folder: string;
  count: number;
  restMs: number;
  /** The size of each. */
  bytes: number;
  programs: DiskPrograms;
  onFailure(error: unknown): void;
}): Spares<string> {
  const { folder, count, restMs, bytes, programs, onFailure } = input;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(folder)) {
    const [pid, start] = name.split('.');
    if (start === undefined || processStart(Number(pid)) !== start)
      rmSync(join(folder, name), { recursive: true, force: true });
  }
  return createSpares<string>({
    count,
    restMs,
    onFailure,
    async make() {
      const name = `${process.pid}.${processStart(process.pid)}.${randomBytes(6).toString('hex')}.img`;
      const file = join(folder, name);
      await makeImage(file, bytes, programs);
      return file;
    },
    isGood: (file) => existsSync(file),
    discard: (file) => rm(file, { force: true }),
  });
}
