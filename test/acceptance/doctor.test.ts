import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findEmbeddedPostgres } from '../../src/store/embedded.ts';
import { openHome } from '../../src/store/home.ts';
import { cleanUp, startServer, type TestServer } from './server.ts';

const entry = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => cleanUp(server));

function runDoctor(
  env: Record<string, string>,
  command = 'doctor',
): Promise<{ code: number | null; out: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [entry, command], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    child.stderr.on('data', (chunk) => {
      out += chunk;
    });
    child.once('exit', (code) => resolve({ code, out }));
  });
}

/** What is in its home, but for what the server goes on to make by itself: the database, and disks for later sessions. */
function filesOf({ home }: TestServer): string[] {
  const [pid] = readFileSync(join(home, 'private', 'server.pid'), 'utf8').split(' ');
  // Not entered: what is in them can be gone before it is listed.
  const below = (folder: string): string[] =>
    readdirSync(join(home, folder), { withFileTypes: true }).flatMap((entry) => {
      const name = join(folder, entry.name);
      if (name.includes('postgres') || name.includes(`/disks/${pid}.`)) return [];
      return [name, ...(entry.isDirectory() ? below(name) : [])];
    });
  return below('');
}

const PATH = process.env.PATH ?? '';

describe('tagalong doctor', () => {
  it('is green beside a running server, and changes nothing', async () => {
    // The server tries a sandbox when it starts, and may not be done with that.
    await expect.poll(() => filesOf(server).filter((name) => name.includes('/trial-'))).toEqual([]);
    const before = filesOf(server);
    const { code, out } = await runDoctor({ PATH, TAGALONG_HOME: server.home });
    expect(out).not.toContain('✗');
    expect(code).toBe(0);
    for (const name of ['Node', 'database', 'root key', 'sandbox', 'egress', 'uids'])
      expect(out).toContain(`✓ ${name}`);
    expect(filesOf(server)).toEqual(before);
  });

  it('verify-records finds what the server recorded as it was written', async () => {
    const { code, out } = await runDoctor({ PATH, TAGALONG_HOME: server.home }, 'verify-records');
    expect(out).toMatch(/^✓ \d+ requests? in \d+ chains?: all as they were written\.\n$/);
    expect(code).toBe(0);
  });

  it('says what to install when bubblewrap is not on the PATH', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tagalong-path-'));
    for (const each of PATH.split(delimiter).reverse()) {
      let names: string[] = [];
      try {
        names = readdirSync(each);
      } catch {
        continue;
      }
      for (const name of names) {
        if (name === 'bwrap') continue;
        rmSync(join(folder, name), { force: true });
        symlinkSync(join(each, name), join(folder, name));
      }
    }
    const { code, out } = await runDoctor({ PATH: folder, TAGALONG_HOME: server.home });
    rmSync(folder, { recursive: true });
    expect(out).toMatch(/✗ sandbox .*bubblewrap.*apt-get install -y bubblewrap/);
    expect(out).toContain('✓ database');
    expect(code).toBe(4);
  });

  it('names the wrong variable and ends with 3 when the configuration is wrong', async () => {
    const { code, out } = await runDoctor({ PATH, TAGALONG_HOME: server.home, PORT: 'eighty' });
    expect(out).toContain('PORT is wrong: "eighty" does not fit. It takes a whole number from 0 to 65535.');
    expect(code).toBe(3);
  });

  it('says that Postgres is stopped, and what to do', async () => {
    await server.stop();
    const { code, out } = await runDoctor({ PATH, TAGALONG_HOME: server.home });
    expect(await findEmbeddedPostgres(openHome(server.home))).toBeUndefined();
    expect(out).toMatch(/✗ database .*is not running\. Start Tagalong: npm start/);
    expect(out).toContain('✓ sandbox');
    expect(code).toBe(4);
  });
});
