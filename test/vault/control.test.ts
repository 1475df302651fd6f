import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../src/store/connection.ts';
import { newId } from '../../src/store/ids.ts';
import { egressRequests, organizations } from '../../src/store/schema.ts';
import { type RunningEgress, startEgress } from '../../src/vault/egress/control.ts';
import { organizationPublicKey } from '../../src/vault/keys.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import { curl, type Door } from './support/client.ts';
import { storeCredential } from './support/credentials.ts';
import { rootKey, silent } from './support/egress.ts';
import { makeListener } from './support/listener.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const entry = fileURLToPath(new URL('./support/egress-entry.ts', import.meta.url));
const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

describe('the egress process under its control', () => {
  let database: Database;
  let url: string;
  let upstream: Upstream;
  let fixture: Fixture;
  let control: RunningEgress;
  let door: Door;
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-control-'));
  const start = () => ({
    databaseUrl: url,
    rootKey: rootKey.toString('base64url'),
    upstreams: [
      { host: 'api.anthropic.com', pathPrefix: '/', target: upstream.origin, scope: 'all' as const },
      { host: 'slack.com', pathPrefix: '/api/', target: upstream.origin, scope: 'all' as const },
    ],
    modelCredentials: { anthropic: 'sk-ant-operator' },
    platformSocket: join(folder, 'platform.sock'),
    internalSocket: join(folder, 'internal.sock'),
  });
  const ask = (to: Door, path = '/v1/messages') =>
    curl(to, `https://api.anthropic.com${path}`, '-d', '{"a":1}');

  beforeAll(async () => {
    ({ database, url } = await createTestDatabase());
    upstream = await startUpstream();
    fixture = await createFixture(database);
    await storeCredential(database, fixture, 'slack_bot', { token: 'xoxb-1' });
    control = await startEgress({ start: start(), logger: silent, entry });
    const { caCertificatePem } = await control.openSession(fixture);
    const { port, handle } = await makeListener();
    await control.addListener(fixture.sessionId, handle);
    door = { port, ca: caCertificatePem };
  });

  afterAll(async () => {
    await control.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('serves a handed-over listener', async () => {
    expect((await ask(door)).stdout).toBe('{"ok":true}');
    expect(upstream.seen.at(-1)?.headers['x-api-key']).toBe('sk-ant-operator');
    expect(await control.health()).toEqual({ ok: true, message: 'The egress process serves 1 session.' });
  });

  it('passes a long conversation on as it was written, and refuses one that would take seconds to read', async () => {
    const content = 'a long word with "quotes", é and 日本. '.repeat(2_000);
    const messages = Array.from({ length: 100 }, (_, at) => ({
      role: at % 2 ? 'assistant' : 'user',
      content,
    }));
    const file = join(folder, 'conversation.json');
    const send = () => curl(door, 'https://api.anthropic.com/v1/messages', '-d', `@${file}`);
    const conversation = JSON.stringify({ model: 'claude', messages });
    writeFileSync(file, conversation);
    expect((await send()).stdout).toBe('{"ok":true}');
    expect(upstream.seen.at(-1)?.headers['content-length']).toBe(`${Buffer.byteLength(conversation)}`);
    expect(upstream.seen.at(-1)?.body === conversation).toBe(true);

    writeFileSync(file, `{"model":"claude","messages":[${Array(2_000_000).fill('{}').join(',')}]}`);
    expect((await send()).stdout).toContain('may hold at most 250000 values');
  });

  it('holds no more of one session than it may, counted until the model answers', async () => {
    const file = join(folder, 'large.json');
    const content = 'x'.repeat(31 * 1024 * 1024);
    writeFileSync(file, JSON.stringify({ model: 'claude', messages: [{ role: 'user', content }] }));
    const send = () => curl(door, 'https://api.anthropic.com/v1/messages', '-d', `@${file}`);
    const usual = upstream.answer;
    const waiting: ServerResponse[] = [];
    upstream.answer = (_request, response) => waiting.push(response);
    const held = Array.from({ length: 3 }, send);
    await expect.poll(() => waiting.length, { timeout: 60_000 }).toBe(3);
    expect((await send()).stdout).toContain('Too many large requests at once');
    upstream.answer = usual;
    for (const response of waiting) response.end('{"ok":true}');
    expect((await Promise.all(held)).map(({ stdout }) => stdout)).toEqual(Array(3).fill('{"ok":true}'));
    expect((await send()).stdout).toBe('{"ok":true}');
    upstream.seen.splice(0);
  });

  it('lets its threads in the background come after the one that serves', () => {
    const niceOf = (id: string): number => {
      const stat = readFileSync(`/proc/${control.pid}/task/${id}/stat`, 'utf8');
      return Number(stat.slice(stat.lastIndexOf(')')).split(' ')[17]);
    };
    const nameOf = (id: string) => readFileSync(`/proc/${control.pid}/task/${id}/comm`, 'utf8').trim();
    const workers = readdirSync(`/proc/${control.pid}/task`).filter((id) => nameOf(id) === 'V8Worker');
    expect(workers.length).toBeGreaterThan(0);
    const most = Math.min(19, niceOf(String(control.pid)) + 10);
    expect(workers.map(niceOf)).toEqual(workers.map(() => most));
  });

  it('has nothing of our environment and no secret in its arguments', () => {
    const at = `/proc/${control.pid}`;
    // Ours for what was compiled before, Node's own two for the channel, and nothing else.
    const names = readFileSync(`${at}/environ`, 'utf8')
      .split('\0')
      .map((pair) => pair.split('=')[0]);
    expect(names).toEqual(['NODE_COMPILE_CACHE', 'NODE_CHANNEL_FD', 'NODE_CHANNEL_SERIALIZATION_MODE', '']);
    expect(readFileSync(`${at}/cmdline`, 'utf8')).not.toMatch(/sk-ant|postgres/);
  });

  it('is started again when it is killed: the same listener, the same authority, the same turn', async () => {
    control.setTurn(fixture.sessionId, 'turn_kept');
    for (let round = 0; round < 2; round++) {
      const before = control.pid ?? 0;
      process.kill(before, 'SIGKILL');
      // Connects at once: the kernel keeps it waiting for who serves the listener next.
      expect((await ask(door)).stdout).toBe('{"ok":true}');
      expect(control.pid).not.toBe(before);
    }
    expect((await control.openSession(fixture)).caCertificatePem).toBe(door.ca);
    await expect
      .poll(async () => {
        const rows = await database
          .select()
          .from(egressRequests)
          .where(eq(egressRequests.sessionId, fixture.sessionId));
        return rows.at(-1)?.turnId;
      })
      .toBe('turn_kept');
  });

  it('keeps platform calls and new sessions waiting while it is away', async () => {
    const fetch = control.platformFetch(fixture);
    expect((await fetch('https://slack.com/api/auth.test')).status).toBe(200);
    const other = await createFixture(database);
    const { port, handle } = await makeListener();
    process.kill(control.pid ?? 0, 'SIGKILL');
    const [answer, opened] = await Promise.all([
      fetch('https://slack.com/api/auth.test'),
      control.openSession(other),
    ]);
    expect(answer.status).toBe(200);
    await control.addListener(other.sessionId, handle);
    expect((await ask({ port, ca: opened.caCertificatePem })).stdout).toBe('{"ok":true}');
    await control.closeSession(other.sessionId);
    expect((await ask({ port, ca: opened.caCertificatePem })).code).not.toBe(0);
    expect((await ask(door)).stdout).toBe('{"ok":true}');
  });

  it('says no to what is not there', async () => {
    await expect(
      control.openSession({ organizationId: newId('org'), sessionId: fixture.sessionId }),
    ).rejects.toThrow();
    await expect(control.addListener('sesn_none', {})).rejects.toThrow('not open');
    await control.closeSession('sesn_none');
  });

  it("writes an organization's public sealing key", async () => {
    const id = newId('org');
    await database.insert(organizations).values({ id, name: 'New' });
    const key = await control.sealingKey(id);
    expect(key).toEqual(organizationPublicKey(rootKey, id));
    const [row] = await database.select().from(organizations).where(eq(organizations.id, id));
    expect(row?.sealingPublicKey).toEqual(key);
    await expect
      .poll(
        async () =>
          (await database.select().from(organizations).where(eq(organizations.id, fixture.organizationId)))[0]
            ?.sealingPublicKey,
      )
      .not.toBeNull();
  });

  it('writes its last records when it is stopped, and leaves nothing', async () => {
    const own = await createFixture(database);
    const sockets = mkdtempSync(join(tmpdir(), 'tagalong-control-'));
    const second = await startEgress({
      start: { ...start(), platformSocket: join(sockets, 'p.sock'), internalSocket: join(sockets, 'i.sock') },
      logger: silent,
      entry,
    });
    const { caCertificatePem: ca } = await second.openSession(own);
    const { port, handle } = await makeListener();
    await second.addListener(own.sessionId, handle);
    await ask({ port, ca }, '/v1/refused');
    const pid = second.pid ?? 0;
    await second.stop();
    expect(isAlive(pid)).toBe(false);
    const rows = await database
      .select()
      .from(egressRequests)
      .where(eq(egressRequests.sessionId, own.sessionId));
    expect(rows).toMatchObject([{ rule: 'model.endpoint', decision: 'refused' }]);
    expect(await second.health()).toMatchObject({ ok: false });
    rmSync(sockets, { recursive: true, force: true });
  });

  it('cannot start where its socket cannot be', async () => {
    const nowhere = { ...start(), platformSocket: '/nonexistent/p.sock' };
    await expect(startEgress({ start: nowhere, logger: silent, entry })).rejects.toThrow(
      'ended before it was ready',
    );
  });
});
