import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import type { Config } from '../config.ts';
import { createSandbox } from '../sandbox/create.ts';
import { firstSessionUid } from '../sandbox/uids.ts';
import { connect, type Database } from '../store/connection.ts';
import { findEmbeddedPostgres, hasEmbeddedData } from '../store/embedded.ts';
import { findHome, type Home, openHome } from '../store/home.ts';
import { migrationStatus } from '../store/migrate.ts';
import { organizations } from '../store/schema.ts';
import { tryEgress } from '../vault/egress/trial.ts';
import { readKeyRotation } from '../vault/key-rotation.ts';
import { deriveWebhookKey, organizationPublicKey } from '../vault/keys.ts';
import { loadPreviousRootKey, loadRootKey, rootKeyFile } from '../vault/root-key.ts';
import { checkNotices } from './doctor-notices.ts';

/** `doctor` found something that does not work. */
const sickExitCode = 4;

interface Finding {
  ok: boolean;
  message: string;
}

/** Looks at everything that must work and changes nothing. Answers 0, or 4 when something does not work. */
export async function doctor(config: Config): Promise<number> {
  const home = findHome(config.home);
  const databaseUrl = config.databaseUrl ?? (home && (await findEmbeddedPostgres(home))?.url);
  const checks: [string, () => Finding | Promise<Finding>][] = [
    ['Node', checkNode],
    ['database', () => checkDatabase(config, home, databaseUrl)],
    ['root key', () => checkRootKey(config, home, databaseUrl)],
    ['sandbox', () => checkSandbox(config)],
    ['egress', tryEgress],
    ['uids', checkUids],
    ['notices', () => checkNotices(databaseUrl)],
  ];
  let healthy = true;
  for (const [name, check] of checks) {
    const finding = await Promise.resolve()
      .then(check)
      .catch(
        (error: unknown): Finding => ({
          ok: false,
          message: error instanceof Error ? error.message : String(error),
        }),
      );
    healthy &&= finding.ok;
    process.stdout.write(`${finding.ok ? '✓' : '✗'} ${name.padEnd(9)} ${finding.message}\n`);
  }
  return healthy ? 0 : sickExitCode;
}

function checkNode(): Finding {
  const version = process.versions.node;
  return Number(version.split('.')[0]) >= 24
    ? { ok: true, message: version }
    : {
        ok: false,
        message: `${version} runs this, but Tagalong needs its own Node 24: start it by npm (npm run tagalong -- doctor).`,
      };
}

async function checkDatabase(
  config: Config,
  home: Home | undefined,
  url: string | undefined,
): Promise<Finding> {
  if (url === undefined) {
    const message =
      home && hasEmbeddedData(home)
        ? `the embedded Postgres of ${home.root} is not running. Start Tagalong: npm start`
        : `there is none in ${config.home} yet. Start Tagalong once (npm start), or set DATABASE_URL.`;
    return { ok: false, message };
  }
  const where = config.databaseUrl === undefined ? 'embedded' : 'DATABASE_URL';
  let status: Awaited<ReturnType<typeof migrationStatus>>;
  try {
    status = await migrationStatus(url);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { ok: false, message: `${where} does not answer: ${reason}. Start it, or correct DATABASE_URL.` };
  }
  const migrations = `${status.applied} of ${status.expected} migrations`;
  if (status.applied < status.expected) {
    return {
      ok: false,
      message: `${where}, ${migrations} applied. Starting Tagalong applies the rest: npm start`,
    };
  }
  if (status.applied > status.expected) {
    return {
      ok: false,
      message: `${where} was migrated by a newer Tagalong (${migrations}). Update this checkout.`,
    };
  }
  return { ok: true, message: `${where}, ${migrations} applied` };
}

/** The key must be the one that this database's secrets are sealed to. */
async function checkRootKey(
  config: Config,
  home: Home | undefined,
  url: string | undefined,
): Promise<Finding> {
  if (config.rootKey === undefined && !home) {
    return { ok: false, message: 'is made at the first start of Tagalong: npm start' };
  }
  const key = config.rootKey ?? (home && loadRootKey(home, undefined, true));
  if (!key) return { ok: false, message: 'is missing. Set TAGALONG_ROOT_KEY.' };
  if (config.rootKey === undefined && home) {
    const file = rootKeyFile(home);
    const mode = statSync(file).mode & 0o777;
    if (mode !== 0o600) {
      return {
        ok: false,
        message: `${file} can be read by others (mode ${mode.toString(8)}). Run: chmod 600 ${file}`,
      };
    }
  }
  if (url === undefined)
    return { ok: true, message: 'is there; whether it fits the database shows when that runs' };
  const database = connect({ url, maxConnections: 1 });
  try {
    const rows = await database.select().from(organizations);
    const previous = config.previousRootKey ?? (home && loadPreviousRootKey(home, config));
    const isOf = (root: Uint8Array | undefined, row: (typeof rows)[number]) =>
      root !== undefined && row.sealingPublicKey?.x === organizationPublicKey(root, row.id).x;
    const foreign = rows.filter((row) => row.sealingPublicKey && !isOf(key, row) && !isOf(previous, row));
    if (foreign.length > 0) {
      return {
        ok: false,
        message: 'is not the one that this database was sealed with. Restore the right one from a backup.',
      };
    }
    return previous ? await checkRotation(database, key, rows) : { ok: true, message: 'fits the database' };
  } finally {
    await database.$client.end();
  }
}

const held = {
  image: 'by a disk image of their own',
  measured: 'by measuring every few seconds (as root, with loop devices, each would have a disk image)',
  none: 'without limit',
} as const;
/** While the key is replaced: what is still sealed to the one before. */
async function checkRotation(
  database: Database,
  key: Uint8Array,
  rows: readonly { id: string }[],
): Promise<Finding> {
  const waiting: string[] = [];
  for (const { id } of rows) {
    const current = {
      credentialKid: String(organizationPublicKey(key, id).kid),
      webhookKid: deriveWebhookKey(key).kid,
    };
    waiting.push(...(await readKeyRotation(database, id, current)).waiting);
  }
  return {
    ok: true,
    message:
      waiting.length === 0
        ? 'was replaced, and nothing is left that needs the previous one: it can be removed'
        : `is being replaced: ${waiting.length} values still need the previous one (${waiting.slice(0, 5).join(', ')}${waiting.length > 5 ? ' …' : ''}). The running server seals them anew; what stays opens with neither key and must be entered again`,
  };
}

/** In a home of its own, so that nothing of the real one is touched. */
async function checkSandbox(config: Config): Promise<Finding> {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-doctor-'));
  try {
    const home = openHome(folder);
    const result = await createSandbox(config.sandbox, { home, logger: pino({ level: 'silent' }) }).check();
    if (!result.ok) return result;
    const { memory, processes, processors, uid, workspace } = result.enforced;
    return {
      ok: true,
      message: `${result.version} started one: ${uid} uid, memory by ${memory}, processes by ${processes}, processor time ${processors === 'none' ? 'not limited, for want of cgroups' : `by ${processors}`}, workspaces ${held[workspace]}`,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function checkUids(): Finding {
  if (process.getuid?.() === 0) {
    return { ok: true, message: `each session runs under a uid of its own, from ${firstSessionUid} on` };
  }
  return {
    ok: true,
    message: `we are not root, so all sessions share our uid ${process.getuid?.()}: their namespaces keep them apart, the kernel's file permissions do not. Run as root for a uid per session.`,
  };
}
