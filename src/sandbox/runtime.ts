import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Home } from '../store/home.ts';
import { SandboxError } from './sandbox.ts';

/** Where the uids of sessions find what they execute. */
export interface Runtime {
  /** Holds `node`. */
  nodeFolder: string;
  node: string;
  bootstrap: string;
  /** Holds `agent.mjs`. */
  agentFolder: string;
  /** The package `tagalong` for agent programs of one's own: `tagalong/define-agent`. */
  sdkFolder: string;
}

export interface RuntimeOptions {
  /** The Node binary that runs in sandboxes; default: the one that runs us. */
  nodePath?: string;
  /** Version of that binary, part of its path. */
  nodeVersion?: string;
  /** What `scripts/bundle.ts` wrote. */
  bundleFolder?: string;
}

/** `dist/` of the checkout or the installed package. */
export const defaultBundleFolder = fileURLToPath(new URL('../../dist', import.meta.url));

const bundles = ['agent.mjs', 'bootstrap.cjs', 'define-agent.mjs'] as const;

const sdkManifest = {
  name: 'tagalong',
  type: 'module',
  exports: { './define-agent': './define-agent.mjs' },
};

/**
 * Puts Node and the bundles into the open folder of the home, where other uids can read and execute them; a checkout
 * or an nvm may be closed to them. Each version has a folder of its own, put in place by one rename, so that what runs
 * is never replaced under its feet. Repeatable and quick when all is in place.
 */
export function placeRuntime(home: Home, options: RuntimeOptions = {}): Runtime {
  const bundleFolder = options.bundleFolder ?? defaultBundleFolder;
  const nodePath = options.nodePath ?? process.execPath;
  const version = options.nodeVersion ?? process.versions.node;
  const nodeFolder = join(home.open, 'node', version);
  place(nodeFolder, (folder) => {
    const target = join(folder, 'node');
    linkOrCopy(nodePath, target);
    return [target];
  });
  const bundleVersion = readBundleVersion(bundleFolder);
  const runtimeFolder = join(home.open, 'runtime', bundleVersion);
  place(runtimeFolder, (folder) => {
    mkdirSync(join(folder, 'agent'));
    chmodSync(join(folder, 'agent'), 0o755);
    copyFileSync(join(bundleFolder, 'agent.mjs'), join(folder, 'agent', 'agent.mjs'));
    copyFileSync(join(bundleFolder, 'bootstrap.cjs'), join(folder, 'bootstrap.cjs'));
    const sdk = join(folder, 'sdk');
    mkdirSync(sdk);
    chmodSync(sdk, 0o755);
    copyFileSync(join(bundleFolder, 'define-agent.mjs'), join(sdk, 'define-agent.mjs'));
    writeFileSync(join(sdk, 'package.json'), JSON.stringify(sdkManifest));
    return [
      join(folder, 'agent', 'agent.mjs'),
      join(folder, 'bootstrap.cjs'),
      join(sdk, 'define-agent.mjs'),
      join(sdk, 'package.json'),
    ];
  });
  return {
    nodeFolder,
    node: join(nodeFolder, 'node'),
    bootstrap: join(runtimeFolder, 'bootstrap.cjs'),
    agentFolder: join(runtimeFolder, 'agent'),
    sdkFolder: join(runtimeFolder, 'sdk'),
  };
}

function readBundleVersion(bundleFolder: string): string {
  try {
    for (const name of bundles) accessSync(join(bundleFolder, name));
    const { contentHash } = JSON.parse(readFileSync(join(bundleFolder, 'bundle.json'), 'utf8')) as {
      contentHash: string;
    };
    if (/^[0-9a-f]{16,64}$/.test(contentHash)) return contentHash;
  } catch {
    // Told below.
  }
  throw new SandboxError(
    'start_failed',
    `The bundles of the agent are missing in ${bundleFolder}. Make them with: node scripts/bundle.ts`,
  );
}

function place(target: string, fill: (folder: string) => string[]): void {
  if (existsSync(target)) return;
  const parent = join(target, '..');
  mkdirSync(parent, { recursive: true });
  chmodSync(parent, 0o755);
  const unfinished = `${target}.${process.pid}.unfinished`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished);
  chmodSync(unfinished, 0o755);
  for (const file of fill(unfinished)) if (!file.endsWith('/node')) chmodSync(file, 0o644);
  try {
    renameSync(unfinished, target);
  } catch (error) {
    // Another process was first; what it placed is the same.
    rmSync(unfinished, { recursive: true, force: true });
    if (!existsSync(target)) throw error;
  }
}

/** A link where the file system and the mode allow it: the binary is 120 MB. */
function linkOrCopy(from: string, to: string): void {
  try {
    if ((statSync(from).mode & 0o005) === 0o005) {
      linkSync(from, to);
      return;
    }
  } catch {
    // Another file system, or not ours to link.
  }
  copyFileSync(from, to, constants.COPYFILE_FICLONE);
  chmodSync(to, 0o755);
}
