/**
 * Puts into `dist/` what an installed package runs: the sources without their types, since Node strips types nowhere
 * below `node_modules`, and what they read beside themselves. `npm pack` calls it.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, globSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const checkout = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(checkout, 'src');
const target = join(checkout, 'dist');
/** What `scripts/bundle.ts` made stays. */
const bundled = /\.(?:mjs|cjs|json)$/;

/** The types of what others import; of all else nobody needs any. */
const typesOfUsers = join('agents', 'define-agent.d.ts');

function stripTypes(): void {
  const compiler = join(checkout, 'node_modules', 'typescript', 'bin', 'tsc');
  const done = spawnSync(process.execPath, [compiler, '-p', join(checkout, 'tsconfig.pack.json')], {
    cwd: checkout,
    // npm reads the name of the tarball from standard output.
    stdio: ['ignore', 2, 2],
  });
  if (done.status !== 0) throw new Error('The sources could not be stripped of their types.');
}

for (const name of readdirSync(target)) {
  if (!bundled.test(name)) rmSync(join(target, name), { recursive: true });
}
stripTypes();
for (const name of globSync('**/*.d.ts', { cwd: target })) {
  if (name !== typesOfUsers) rmSync(join(target, name));
}
for (const name of globSync('**/*.json', { cwd: source })) {
  mkdirSync(dirname(join(target, name)), { recursive: true });
  copyFileSync(join(source, name), join(target, name));
}
