import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const checkout = dirname(dirname(fileURLToPath(import.meta.url)));

const entries: Readonly<Record<string, string>> = {
  'agent.mjs': 'src/agents/builtin/main.ts',
  // Node starts CommonJS sooner, and every sandbox waits for this one.
  'bootstrap.cjs': 'src/sandbox/bootstrap.ts',
  'define-agent.mjs': 'src/agents/define-agent.ts',
};
/** What the bundles are made of: a change here makes them anew. */
const sources = [
  'src/agents/builtin',
  'src/agents/define-agent.ts',
  'src/sandbox/bootstrap.ts',
  'src/sandbox/bootstrap-protocol.ts',
  'scripts/bundle.ts',
  'package-lock.json',
];

const requireInModules =
  "import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);";

interface BundleRecord {
  sourceHash: string;
  contentHash: string;
}

/**
 * Bundles what runs in sandboxes, one file each, into `outFolder`, with a `bundle.json` that names their content.
 * Does nothing when the sources and the lock file are those of the last time. Several at once are harmless.
 */
export async function bundle(outFolder: string = join(checkout, 'dist')): Promise<BundleRecord> {
  const sourceHash = hashFiles(sources.flatMap(filesBelow));
  const recordFile = join(outFolder, 'bundle.json');
  const last = readRecord(recordFile);
  const complete = Object.keys(entries).every((name) => existsSync(join(outFolder, name)));
  if (complete && last?.sourceHash === sourceHash) return last;
  mkdirSync(outFolder, { recursive: true });
  const contents = createHash('sha256');
  for (const [name, entry] of Object.entries(entries)) {
    const result = await build({
      entryPoints: [join(checkout, entry)],
      absWorkingDir: checkout,
      bundle: true,
      write: false,
      platform: 'node',
      format: isModule(name) ? 'esm' : 'cjs',
      target: 'node24',
      minify: true,
      legalComments: 'none',
      charset: 'utf8',
      // Some dependencies are CommonJS and `require` what Node brings along.
      ...(isModule(name) ? { banner: { js: requireInModules } } : {}),
      logLevel: 'error',
    });
    for (const file of result.outputFiles) {
      contents.update(file.contents);
      replaceFile(join(outFolder, name), file.contents);
    }
  }
  const record = { sourceHash, contentHash: contents.digest('hex').slice(0, 32) };
  replaceFile(recordFile, Buffer.from(`${JSON.stringify(record)}\n`));
  return record;
}

const isModule = (name: string): boolean => name.endsWith('.mjs');

function replaceFile(path: string, content: Uint8Array): void {
  const unfinished = `${path}.${process.pid}`;
  writeFileSync(unfinished, content);
  renameSync(unfinished, path);
}

function readRecord(file: string): BundleRecord | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as BundleRecord;
  } catch {
    return undefined;
  }
}

function filesBelow(path: string): string[] {
  const absolute = join(checkout, path);
  if (path.includes('.')) return [absolute];
  return readdirSync(absolute, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function hashFiles(files: string[]): string {
  const hash = createHash('sha256').update(process.versions.node);
  for (const file of files.sort()) {
    hash.update(`\0${relative(checkout, file)}\0`).update(readFileSync(file));
  }
  return hash.digest('hex').slice(0, 32);
}

if (import.meta.main) {
  const { contentHash } = await bundle(process.argv[2]);
  process.stdout.write(`bundled ${contentHash}\n`);
}
