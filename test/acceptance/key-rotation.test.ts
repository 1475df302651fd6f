import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { openHome } from '../../src/store/home.ts';
import { previousRootKeyFile } from '../../src/vault/root-key.ts';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';
import { agentMessages, postInSlack, stateOf } from './workplace-state.ts';

const entry = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
let server: TestServer | undefined;
afterAll(() => cleanUp(server));

const run = (home: string, ...args: string[]) =>
  new Promise<{ code: number; out: string }>((resolve) => {
    const env = { PATH: process.env.PATH ?? '', TAGALONG_HOME: home };
    execFile(process.execPath, [entry, ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), out: stdout + stderr }),
    );
  });

async function answers(running: TestServer, word: string): Promise<void> {
  const { agent } = await stateOf(running);
  const ts = await postInSlack(running, `${agent.slackHandle} run \`echo ${word}-$((40+2))\``);
  await eventually(
    async () => (await agentMessages(running, ts)).some((text) => text.includes(`${word}-42`)),
    () => `the answer:\n${running.output().slice(-4_000)}`,
  );
}

it('replaces the root key of a home; the agent answers before, during and after, and the log says why not elsewhere', {
  timeout: 180_000,
}, async () => {
  const first = await startServer();
  server = first;
  const { home, apiKey } = first;
  await answers(first, 'before');
  const busy = await run(home, 'rotate-key');
  expect([busy.code, busy.out]).toEqual([1, expect.stringContaining('Stop it first')]);
  await first.stop();
  const rotated = await run(home, 'rotate-key');
  expect([rotated.code, rotated.out]).toEqual([0, expect.stringContaining('new root key')]);

  const second = await startServer({ home, apiKey });
  server = second;
  await answers(second, 'during');
  const left = await eventually(async () => {
    const status = await second.api<{ state: string; total: number }>('/v1/key_rotation');
    return status.state === 'finished' && status;
  }, 'everything to be sealed anew');
  expect(left.total).toBeGreaterThan(3);
  const { out } = await run(home, 'doctor');
  expect(out).toContain('nothing is left that needs the previous one');
  await second.stop();
  rmSync(previousRootKeyFile(openHome(home)));

  const third = await startServer({ home, apiKey });
  server = third;
  await answers(third, 'after');
  expect((await run(home, 'doctor')).out).toContain('fits the database');

  const { agent } = await stateOf(third);
  const ts = await postInSlack(
    third,
    `${agent.slackHandle} run \`curl -sS https://nowhere.example/ || echo no-$((40+2))\``,
  );
  await eventually(
    async () => (await agentMessages(third, ts)).some((text) => text.includes('no-42')),
    'the answer that it could not get there',
  );
  const sessions = await third.api<{ data: { id: string; usage: Record<string, number> }[] }>('/v1/sessions');
  const [session] = sessions.data;
  const events = await third.api<{ data: { type: string; host?: string; rule?: string }[] }>(
    `/v1/sessions/${session?.id}/events?limit=200`,
  );
  expect(events.data).toContainEqual(
    expect.objectContaining({
      type: 'tagalong.egress_refused',
      host: 'nowhere.example',
      rule: 'host.not_allowed',
    }),
  );
  expect(events.data.map(({ type }) => type)).toContain('span.model_request_end');
  expect(session?.usage.output_tokens).toBeGreaterThan(0);
});
