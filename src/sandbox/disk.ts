import { execFile } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { findProgram } from './find-program.ts';
import { folderNames, prepareWritable, type WritableFolders } from './folders.ts';
import { SandboxError } from './sandbox.ts';

const run = promisify(execFile);
const makeTimeoutMs = 30_000;

/** The programs by which a file becomes a file system of its own. */
export type DiskPrograms = Readonly<Record<'mkfs.ext4' | 'mount' | 'unshare' | 'sh', string>>;

/** A file system in a file, to be mounted where only one sandbox sees it. */
export interface DiskImage {
  file: string;
  /** The folder that it is mounted on. */
  at: string;
}

/** Where what the agent writes lies. */
export interface SessionDisk extends WritableFolders {
  /** Undefined where the two are plain folders. */
  image: DiskImage | undefined;
}

export interface DiskInput {
  /** Host folder of the session. */
  directory: string;
  uid: number | undefined;
  /** What workspace and home may hold together; undefined for no limit. */
  bytes: number | undefined;
  /** Undefined where this process cannot mount images. */
  programs: DiskPrograms | undefined;
  /** The file of an image of this size that was made ahead, if there is one. */
  takeSpare?(): string | undefined;
}

/**
 * Makes or finds workspace and home of a session: in an image of limited size where images can be mounted, else as
 * plain folders. What a session began with it keeps. An image is put in place whole or not at all.
 */
export async function prepareDisk(input: DiskInput): Promise<SessionDisk> {
  const { directory, programs } = input;
  const image = { file: join(directory, 'disk.img'), at: join(directory, 'disk') };
  const isThere = existsSync(image.file);
  if (isThere && !programs) {
    throw new SandboxError(
      'start_failed',
      `${image.file} holds the session's files, and this machine or user cannot mount it. Run as root where there are loop devices.`,
    );
  }
  const hasFolders = folderNames.some((name) => lstatSync(join(directory, name), { throwIfNoEntry: false }));
  if (!isThere && (!programs || input.bytes === undefined || hasFolders)) {
    return { ...prepareWritable(directory, input.uid), image: undefined };
  }
  if (programs && !isThere && !putInPlace(input.takeSpare?.(), image.file)) {
    await makeImage(image.file, input.bytes ?? 0, programs);
  }
  mkdirSync(image.at, { recursive: true });
  chmodSync(image.at, 0o755);
  return { workspace: join(image.at, 'workspace'), home: join(image.at, 'home'), image };
}

/** False where there is none, or where it lies on another file system. */
function putInPlace(spare: string | undefined, file: string): boolean {
  if (spare === undefined) return false;
  try {
    renameSync(spare, file);
    return true;
  } catch {
    rmSync(spare, { force: true });
    return false;
  }
}

/**
 * Makes an image with empty folders that are nobody's yet: they are given to the session when it is first mounted. It
 * is put in place whole or not at all.
 */
export async function makeImage(file: string, bytes: number, programs: DiskPrograms): Promise<void> {
  for (const name of readdirSync(dirname(file))) {
    // Of a process that was killed meanwhile.
    if (name.startsWith(`${basename(file)}.`)) rmSync(join(dirname(file), name), { recursive: true });
  }
  const unfinished = `${file}.unfinished`;
  const content = `${file}.content`;
  mkdirSync(content);
  chmodSync(content, 0o755);
  prepareWritable(content, undefined);
  const handle = await open(unfinished, 'wx', 0o600);
  try {
    await handle.truncate(bytes);
    // Nothing is written before it is used: the file grows with what is in it.
    const options = ['-E', 'lazy_itable_init=1,lazy_journal_init=1,nodiscard', '-m', '0', '-d', content];
    await run(programs['mkfs.ext4'], ['-q', '-F', ...options, unfinished], {
      env: {},
      cwd: '/',
      timeout: makeTimeoutMs,
    });
    await handle.sync();
  } catch (error) {
    rmSync(unfinished);
    throw new SandboxError(
      'start_failed',
      `The session's disk could not be made: ${(error as Error).message}`,
      { cause: error },
    );
  } finally {
    await handle.close();
    rmSync(content, { recursive: true });
  }
  renameSync(unfinished, file);
}

/**
 * How the image is mounted, in a mount namespace of the sandbox alone: nobody else sees it, and when the last process
 * of the sandbox has ended, however it did, the kernel takes mount and loop device away by itself. What is deleted
 * inside is given back to the host as long as it is mounted.
 */
export function mountCommand(programs: DiskPrograms, { file, at }: DiskImage): [string, ...string[]] {
  const options = 'loop,nosuid,nodev,noatime,discard,errors=remount-ro';
  return [programs.mount, '-t', 'ext4', '-o', options, file, at];
}

/**
 * The programs, where an image can be mounted with them: it takes root, loop devices and ext4. Tries it, in a folder
 * that is removed again.
 */
export async function findDiskPrograms(
  folder: string,
  path: string | undefined,
): Promise<DiskPrograms | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const found = (name: string) => findProgram(name, path, true);
  const [mkfs, mount, unshare, sh] = [found('mkfs.ext4'), found('mount'), found('unshare'), found('sh')];
  if (!mkfs || !mount || !unshare || !sh) return undefined;
  const programs = { 'mkfs.ext4': mkfs, mount, unshare, sh };
  try {
    mkdirSync(folder, { recursive: true });
    const bytes = 16 << 20;
    const { image, workspace } = await prepareDisk({ directory: folder, uid: undefined, bytes, programs });
    if (!image) return undefined;
    const tryIt = [
      ...['--mount', '--propagation', 'slave', sh, '-c', `f=$0; "$@" && : > "$f/works"`, workspace],
      ...mountCommand(programs, image),
    ];
    await run(unshare, tryIt, { env: {}, cwd: '/', timeout: 10_000 });
    return programs;
  } catch {
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
