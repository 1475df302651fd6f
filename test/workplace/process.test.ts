import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startWorkplaceProcess } from '../../src/workplace/client.ts';
import { temporaryFolder } from './support/open-workplace.ts';

async function openProcess(folder: string) {
  const handle = await startWorkplaceProcess({ folder });
  onTestFinished(() => handle.stop());
  return handle;
}

async function openGateway() {
  const bodies: string[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    bodies.push(body);
    response.writeHead(200).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { bodies, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describe('the workplace as a process of its own', () => {
  it('has nothing of our environment, sends webhooks where it is told, and serves the API of the page to who has its secret', async () => {
    const handle = await openProcess(await temporaryFolder());
    const environment = readFileSync(`/proc/${handle.pid}/environ`, 'utf8').split('\0').filter(Boolean);
    expect(environment.filter((entry) => !/^NODE_(CHANNEL_|COMPILE_CACHE=)/.test(entry))).toEqual([]);

    const gateway = await openGateway();
    await handle.setWebhookUrls({ slack: `${gateway.url}/webhooks/slack/pub_1` });
    const headers = { authorization: `Bearer ${handle.apiSecret}` };
    const api = (path: string, init: RequestInit = {}) =>
      fetch(`${handle.apiUrl}${path}`, { ...init, headers });
    const events = await api('/events');
    const reader = events.body?.getReader();
    expect(new TextDecoder().decode((await reader?.read())?.value)).toContain('event: changed');
    const posted = await api('/slack/messages', {
      method: 'POST',
      body: JSON.stringify({ personId: 'maya', channel: 'general', text: 'hi @tagalong' }),
    });
    expect(posted.status).toBe(201);
    expect(new TextDecoder().decode((await reader?.read())?.value)).toContain('event: changed');
    await reader?.cancel();
    await expect.poll(() => gateway.bodies.length).toBe(2);
    const state = await (await api('/state')).json();
    expect(state).toMatchObject({ slack: { threads: [{ messages: [{ text: 'hi @tagalong' }] }] } });
    const invalid = await api('/slack/messages', { method: 'POST', body: '{}' });
    expect([invalid.status, await invalid.json()]).toMatchObject([400, { type: 'error' }]);
    expect((await fetch(`${handle.apiUrl}/state`)).status).toBe(401);
    await expect(handle.setWebhookUrls({ slack: 'https://gateway.example/' })).rejects.toThrow(
      'this machine only',
    );

    await handle.stop();
    expect(await handle.exited).toBe(0);
    await expect(api('/state')).rejects.toThrow();
  });

  it('is the same workplace when it is started again', async () => {
    const folder = await temporaryFolder();
    const first = await openProcess(folder);
    await first.stop();
    const second = await openProcess(folder);
    expect(second.credentials).toEqual(first.credentials);
    expect(second.upstreams).toEqual(first.upstreams);
  });

  it('says why it cannot start', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'workplace.json'), 'nonsense');
    await expect(startWorkplaceProcess({ folder })).rejects.toThrow('cannot be read by this version');
  });

  it('saves its state and ends when its parent is killed', async () => {
    const folder = await temporaryFolder();
    const parent = fork(join(import.meta.dirname, 'support', 'parent.ts'), [folder], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const [{ pid, apiUrl, apiSecret }] = await once(parent, 'message');
    const headers = { authorization: `Bearer ${apiSecret}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ personId: 'maya', title: 'Kept?' });
    await fetch(`${apiUrl}/linear/issues`, { method: 'POST', headers, body });
    parent.kill('SIGKILL');
    const isAlive = () => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    await expect.poll(isAlive, { timeout: 5_000 }).toBe(false);
    expect(readFileSync(join(folder, 'workplace.json'), 'utf8')).toContain('Kept?');
  });
});
