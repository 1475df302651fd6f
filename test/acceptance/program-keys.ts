import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The keys of the offline model of this installation. */
export function keysOf(home: string): string[] {
  const stored = readFileSync(join(home, 'private', 'workplace', 'workplace.json'), 'utf8');
  return [...stored.matchAll(/"(offline-[\w-]{20,})"/g)].map(([, key = '']) => key);
}

/** The files below a folder that hold one of these values, as it is or in base64; disks of sessions among them. */
export function leaksBelow(folder: string, values: readonly string[]): string[] {
  // What a sandbox has written may not be in its disk's file yet.
  execFileSync('sync');
  const forms = values.flatMap((value) => [
    value,
    Buffer.from(value).toString('base64').replace(/=+$/, '').slice(0, -2),
  ]);
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => {
      const content = readFileSync(file, 'latin1');
      return forms.some((form) => content.includes(form));
    });
}

/** What runs below a process with this word on its command line. */
export function processesOf(pid: number, word: string): { environment: string; commandLine: string }[] {
  const found: { environment: string; commandLine: string }[] = [];
  const open = [pid];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    try {
      const children = readFileSync(`/proc/${next}/task/${next}/children`, 'utf8').trim();
      open.push(...children.split(' ').filter(Boolean).map(Number));
      const commandLine = readFileSync(`/proc/${next}/cmdline`, 'utf8').replaceAll('\0', ' ');
      const environment = readFileSync(`/proc/${next}/environ`, 'utf8').replaceAll('\0', '\n');
      if (environment !== '' && commandLine.split(' ')[0]?.includes(word))
        found.push({ environment, commandLine });
    } catch {
      // Gone meanwhile.
    }
  }
  return found;
}
