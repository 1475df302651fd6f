import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanUp, eventually, startServer, type TestServer } from '../acceptance/server.ts';
import { agentMessages, postInSlack, stateOf } from '../acceptance/workplace-state.ts';

const checkout = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const folder = mkdtempSync(join(tmpdir(), 'tagalong-package-'));
const npm = (...args: string[]) =>
  execFileSync('npm', args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

describe('the packed program, installed in an empty folder', () => {
  let server: TestServer | undefined;
  const installed = join(folder, 'node_modules', 'tagalong');

  beforeAll(() => {
    execFileSync('npm', ['pack', '--pack-destination', folder], { cwd: checkout, stdio: 'ignore' });
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'empty', private: true }));
    npm('install', '--no-audit', '--no-fund', './tagalong-0.1.0.tgz');
  }, 300_000);
  afterAll(async () => {
    await cleanUp(server);
    rmSync(folder, { recursive: true, force: true });
  });

  it('holds no sources and nothing of the tests', () => {
    for (const name of ['src', 'test', 'bench', 'package-lock.json']) {
      expect(existsSync(join(installed, name))).toBe(false);
    }
    const types = readFileSync(join(installed, 'dist', 'agents', 'define-agent.d.ts'), 'utf8');
    expect(types).toContain('defineAgent');
  });

  it("gives the package for agent programs of one's own", () => {
    const script = "import { defineAgent } from 'tagalong/define-agent'; console.log(typeof defineAgent)";
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect(said.trim()).toBe('function');
  });

  it('starts, serves the console, answers a mention, and ends', async () => {
    server = await startServer({ entry: join(folder, 'node_modules', '.bin', 'tagalong') });
    const opened = await fetch(server.link, { redirect: 'manual' });
    const cookie = opened.headers.getSetCookie().map((each) => each.split(';', 1)[0]);
    const page = await fetch(`${server.url}/workplace`, {
      headers: { cookie: cookie.join('; '), accept: 'text/html' },
    });
    expect(await page.text()).toContain('<div id="root">');
    const { agent } = await stateOf(server);
    const thread = await postInSlack(server, `${agent.slackHandle} run \`echo packed-$((6*7))\``);
    await eventually(
      async () => server && (await agentMessages(server, thread)).some((text) => text.includes('packed-42')),
      () => server?.output() ?? '',
    );
    expect(await server.stop()).toBe(0);
  });
});
