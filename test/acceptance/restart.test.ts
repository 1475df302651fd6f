import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';
import { agentMessages, postInSlack, stateOf } from './workplace-state.ts';

let server: TestServer | undefined;
afterEach(async () => {
  await cleanUp(server);
  server = undefined;
});

/** The processes that this one started, by what is on their command line. */
function childrenOf(pid: number, word: string): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .filter(Boolean)
    .map(Number)
    .filter((child) => {
      try {
        return readFileSync(`/proc/${child}/cmdline`, 'utf8').includes(word);
      } catch {
        return false;
      }
    });
}

function isGone(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return true;
  }
}

/** Asks for something that takes a while, and waits until the agent is at it. */
async function askAndWaitUntilRunning(running: TestServer): Promise<string> {
  const { agent } = await stateOf(running);
  const ts = await postInSlack(running, `${agent.slackHandle} run \`sleep 4; echo slept-$((40+2))\``);
  await eventually(async () => {
    const { data } = await running.api<{ data: { id: string }[] }>('/v1/sessions');
    if (!data[0]) return false;
    const events = await running.api<{ data: { type: string }[] }>(
      `/v1/sessions/${data[0].id}/events?limit=50`,
    );
    return events.data.some((event) => event.type === 'agent.tool_use');
  }, 'the agent to be at work');
  return ts;
}

/** The reply is there, and after everything has settled it is still the only one. */
async function expectOneReply(running: TestServer, ts: string): Promise<void> {
  await eventually(
    async () => (await agentMessages(running, ts)).some((text) => text.includes('slept-42')),
    () => `the reply:\n${running.output().slice(-4_000)}`,
  );
  await eventually(async () => {
    const { data } = await running.api<{ data: { status: string }[] }>('/v1/sessions');
    return data.every((session) => session.status === 'idle');
  }, 'all sessions idle');
  expect((await agentMessages(running, ts)).filter((text) => text.includes('slept-42'))).toHaveLength(1);
}

describe('a restart', () => {
  it('loses nothing when everything is killed in the middle of a turn', async () => {
    server = await startServer();
    const ts = await askAndWaitUntilRunning(server);
    const sandboxes = childrenOf(server.process.pid ?? 0, 'agent.mjs');
    expect(sandboxes.length).toBeGreaterThan(0);
    await server.kill();
    await eventually(async () => sandboxes.every(isGone), 'the sandboxes die with their worker', 10_000);
    server = await startServer({ home: server.home, apiKey: server.apiKey });
    await expectOneReply(server, ts);
  });

  it('loses nothing when the egress process is killed in the middle of a turn', async () => {
    server = await startServer();
    const ts = await askAndWaitUntilRunning(server);
    const [egress] = childrenOf(server.process.pid ?? 0, 'egress.ts');
    expect(egress).toBeGreaterThan(0);
    process.kill(egress ?? 0, 'SIGKILL');
    await expectOneReply(server, ts);
    expect(childrenOf(server.process.pid ?? 0, 'egress.ts')).not.toContain(egress);
  });

  it('ends all that it started at Ctrl-C, and goes on with the interrupted turn at the next start', async () => {
    server = await startServer();
    const ts = await askAndWaitUntilRunning(server);
    const pid = server.process.pid ?? 0;
    const started = childrenOf(pid, '');
    expect(started.length).toBeGreaterThanOrEqual(4);
    expect(await server.stop()).toBe(0);
    expect(started.filter((child) => !isGone(child))).toEqual([]);
    server = await startServer({ home: server.home, apiKey: server.apiKey });
    await expectOneReply(server, ts);
  });

  it('refuses a second server on the same home, in words', async () => {
    server = await startServer();
    await expect(startServer({ home: server.home })).rejects.toThrow(/runs on .* already \(process \d+\)/);
  });
});
