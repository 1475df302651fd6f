import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import type { Home } from '../store/home.ts';
import { inside } from './inside.ts';
import { javaTrustStore } from './java-trust.ts';
import { writeReadable } from './write-readable.ts';

const files: Readonly<Record<string, string>> = {
  passwd: `${inside.user}:x:${inside.uid}:${inside.uid}::${inside.home}:/bin/bash\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n`,
  group: `${inside.user}:x:${inside.uid}:\nnogroup:x:65534:\n`,
  hosts: `127.0.0.1 localhost ${inside.hostname}\n::1 localhost\n`,
  'resolv.conf': '# Knows the names that may be reached, and passes nothing on.\nnameserver 127.0.0.1\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n',
};

/** What programs of the read-only system want of the host's /etc. Nothing here is particular to the host or secret. */
export const hostEtc = [
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'alternatives',
  'localtime',
  'mime.types',
  'magic',
  'services',
  'protocols',
  'ssl/openssl.cnf',
  'fonts',
  'java-17-openjdk',
  'java-21-openjdk',
] as const;

/** The names of the files of our own in a sandbox's /etc. */
export const ownEtc = Object.keys(files);

/** Writes the /etc files that every sandbox shares, and answers their folder. Repeatable; replaces what differs. */
export function writeSystemFiles(home: Home): string {
  const folder = join(home.open, 'etc');
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
  for (const [name, content] of Object.entries(files)) writeReadable(join(folder, name), content);
  return folder;
}

/**
 * Writes the session's CA, alone and joined to the public roots, into `<directory>/trust`. Only the platform can
 * write there; the session's uid can read.
 */
export function writeTrust(directory: string, caCertificatePem: string): string {
  const folder = join(directory, 'trust');
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
  const pem = caCertificatePem.trim();
  writeReadable(join(folder, 'session-ca.pem'), `${pem}\n`);
  writeReadable(join(folder, 'ca-bundle.pem'), `${pem}\n${rootCertificates.join('\n')}\n`);
  writeReadable(join(folder, 'java-trust.jks'), javaTrustStore([pem, ...rootCertificates]));
  return folder;
}

const settingName = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/**
 * Writes the settings of the agent program into `<directory>/settings`, and nothing else is left there. Only the
 * platform can write there; the session's uid can read.
 */
export function writeSettings(directory: string, files: Readonly<Record<string, string>>): string {
  const folder = join(directory, 'settings');
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
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
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
  const name = createHash('sha256').update(content).digest('hex').slice(0, 16);
  const path = join(folder, `${name}.${extension}`);
  writeReadable(path, content);
  return path;
}
