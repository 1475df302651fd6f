import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { rootCertificates } from 'node:tls';
import type { Home } from '../store/home.ts';
import { inside } from './inside.ts';
import { javaTrustEntry, javaTrustStore } from './java-trust.ts';
import { writeReadable } from './write-readable.ts';

const files: Readonly<Record<string, string>> = {
  passwd: `${inside.user}:x:${inside.uid}:${inside.uid}::${inside.home}:/bin/bash\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n`,
  group: `${inside.user}:x:${inside.uid}:\nnogroup:x:65534:\n`,
  hosts: `127.0.0.1 localhost ${inside.hostname}\n::1 localhost\n`,
  'resolv.conf': '# Knows the names that may be reached, and passes nothing on.\nnameserver 127.0.0.1\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n',
};

/** The usual places of the CA bundle. */
const links: Readonly<Record<string, string>> = {
  'ssl/certs/ca-certificates.crt': inside.caBundleFile,
  'ssl/cert.pem': 'certs/ca-certificates.crt',
  'pki/tls/certs/ca-bundle.crt': inside.caBundle,
};

/** What programs of the read-only system want of the host's /etc. Nothing here is particular to the host or secret. */
const hostFiles = [
  ...['ld.so.cache', 'ld.so.conf', 'localtime', 'mime.types', 'magic', 'services', 'protocols'],
  'ssl/openssl.cnf',
] as const;
const hostFolders = ['ld.so.conf.d', 'alternatives', 'fonts', 'java-17-openjdk', 'java-21-openjdk'] as const;

/** The /etc of all sandboxes: one folder, and those of the host that are mounted into it. */
export interface SystemFiles {
  folder: string;
  hostFolders: readonly string[];
}

/**
 * Writes the /etc that every sandbox shares. Each mount costs a start a sixth of a millisecond, so files of the host are
 * copied. Repeatable; replaces what differs.
 */
export function writeSystemFiles(home: Home): SystemFiles {
  const folder = join(home.open, 'etc');
  openFolder(folder);
  for (const [name, content] of Object.entries(files)) writeReadable(join(folder, name), content);
  for (const [name, target] of Object.entries(links)) link(folder, name, target);
  const found = hostFolders.filter((name) => existsSync(join('/etc', name)));
  for (const name of found) openFolder(join(folder, name));
  copyHostFiles({ folder, hostFolders: found });
  return { folder, hostFolders: found };
}

/**
 * Copies what has changed on the host since, as `ldconfig` does to its cache. A running sandbox reads the old file or
 * the new one, never half of it.
 */
export function copyHostFiles({ folder }: SystemFiles): void {
  for (const name of hostFiles) {
    const from = statSync(join('/etc', name), { throwIfNoEntry: false });
    const to = join(folder, name);
    const known = statSync(to, { throwIfNoEntry: false });
    if (!from) rmSync(to, { force: true });
    // A copy is given whole milliseconds.
    else if (known?.size !== from.size || Math.trunc(known.mtimeMs) !== Math.trunc(from.mtimeMs)) {
      openFolder(dirname(to));
      const unfinished = `${to}.${process.pid}`;
      copyFileSync(join('/etc', name), unfinished);
      chmodSync(unfinished, 0o644);
      utimesSync(unfinished, from.atime, new Date(Math.trunc(from.mtimeMs)));
      renameSync(unfinished, to);
    }
  }
}

let roots: ReturnType<typeof publicRoots> | undefined;

function publicRoots() {
  return {
    pem: `${rootCertificates.join('\n')}\n`,
    java: rootCertificates.map((pem, i) => javaTrustEntry(`root${i}`, pem)),
  };
}

/**
 * Writes the session's CA, alone and joined to the public roots, into `<directory>/trust`. Only the platform can
 * write there; the session's uid can read.
 */
export function writeTrust(directory: string, caCertificatePem: string): string {
  const folder = join(directory, 'trust');
  openFolder(folder);
  const pem = caCertificatePem.trim();
  writeReadable(join(folder, 'session-ca.pem'), `${pem}\n`);
  roots ??= publicRoots();
  writeReadable(join(folder, 'ca-bundle.pem'), `${pem}\n${roots.pem}`);
  writeReadable(
    join(folder, 'java-trust.jks'),
    javaTrustStore([javaTrustEntry('session', pem), ...roots.java]),
  );
  return folder;
}

const settingName = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/**
 * Writes the settings of the agent program into `<directory>/settings`, and nothing else is left there. Only the
 * platform can write there; the session's uid can read.
 */
export function writeSettings(directory: string, files: Readonly<Record<string, string>>): string {
  const folder = join(directory, 'settings');
  openFolder(folder);
  for (const name of readdirSync(folder)) if (!Object.hasOwn(files, name)) rmSync(join(folder, name));
  for (const [name, content] of Object.entries(files)) {
    if (!settingName.test(name)) throw new Error(`${name} is no name for a settings file.`);
    writeReadable(join(folder, name), content);
  }
  return folder;
}

/** Writes the seccomp filter where the uids of sessions can read it; answers its file. */
export function writeSeccompFilter(home: Home, filter: Buffer): string {
  return writeNamedByContent(join(home.open, 'seccomp'), filter, 'bpf');
}

/** Writes the commands that set the network of a sandbox up; answers their file. */
export function writeNetworkSetup(home: Home, commands: string): string {
  return writeNamedByContent(join(home.open, 'network'), Buffer.from(commands), 'batch');
}

/** Each content has a name of its own, so that another version beside us reads what it wrote. */
function writeNamedByContent(folder: string, content: Buffer, extension: string): string {
  openFolder(folder);
  const name = createHash('sha256').update(content).digest('hex').slice(0, 16);
  const path = join(folder, `${name}.${extension}`);
  writeReadable(path, content);
  return path;
}

function link(folder: string, name: string, target: string): void {
  const path = join(folder, name);
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() && readlinkSync(path) === target) return;
  openFolder(dirname(path));
  const unfinished = `${path}.${process.pid}`;
  rmSync(unfinished, { force: true });
  symlinkSync(target, unfinished);
  renameSync(unfinished, path);
}

function openFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
}
