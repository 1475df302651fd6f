/** Builds what is made from sources: the agent's and the sandbox's bundles, and the console. Skips what is unchanged. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from './bundle.ts';

const checkout = dirname(dirname(fileURLToPath(import.meta.url)));

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && !/[/\\](node_modules|dist)([/\\]|$)/.test(`${entry.parentPath}/`))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function fingerprint(paths: readonly string[]): string {
  const hash = createHash('sha256');
  for (const path of paths)
    hash.update(path.slice(checkout.length)).update('\0').update(readFileSync(path)).update('\0');
  return hash.digest('hex');
}

/** Builds the console with Vite unless `console/dist` is of these very sources. */
function buildConsole(): void {
  const out = join(checkout, 'console', 'dist');
  const stamp = join(out, '.sources');
  const sources = fingerprint([
    ...filesBelow(join(checkout, 'console')),
    join(checkout, 'package-lock.json'),
  ]);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === sources) return;
  process.stderr.write('Building the console …\n');
  const vite = join(checkout, 'node_modules', 'vite', 'bin', 'vite.js');
  const built = spawnSync(process.execPath, [vite, 'build', 'console', '--logLevel', 'error'], {
    cwd: checkout,
    stdio: ['ignore', 2, 2],
  });
  if (built.status !== 0) throw new Error('The console could not be built.');
  writeFileSync(stamp, sources);
}

await bundle(join(checkout, 'dist'));
buildConsole();
