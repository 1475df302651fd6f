import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';
import { stateOf } from './workplace-state.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => cleanUp(server));

const sessionOf = async (title: string) =>
  (await stateOf(server)).linear.issues.find((issue) => issue.title === title)?.sessions[0];
const activity = (title: string, type: string, pattern: RegExp) =>
  eventually(
    async () =>
      (await sessionOf(title))?.activities.find((each) => each.type === type && pattern.test(each.body)),
    () => `a ${type} like ${pattern}:\n${server.output().slice(-3_000)}`,
  );

describe('Linear', () => {
  const title = 'Count to three';

  it('answers a delegated issue: a thought at once, one response at the end', async () => {
    const { people } = await stateOf(server);
    await server.workplace('/linear/issues', {
      personId: people[0]?.id,
      title,
      description: 'Run `echo one two three | wc -w` for us.',
      delegate: true,
    });
    await activity(title, 'thought', /\w/);
    await activity(title, 'response', /3/);
    const session = await sessionOf(title);
    expect(session?.activities.filter((each) => each.type === 'response')).toHaveLength(1);
    expect(session?.status).toBe('complete');
  });

  it('goes on when it is prompted, with its memory', async () => {
    const { people } = await stateOf(server);
    const session = await sessionOf(title);
    await server.workplace(`/linear/sessions/${session?.id}/prompts`, {
      personId: people[0]?.id,
      body: 'What did I ask first?',
    });
    expect((await activity(title, 'response', /first/i)).body).toContain('wc -w');
  });

  it('says so when it fails', async () => {
    const { people } = await stateOf(server);
    const failing = 'Use up the memory';
    await server.workplace('/linear/issues', {
      personId: people[0]?.id,
      title: failing,
      description: 'Run `kill -9 -1; sleep 5` for us.',
      delegate: true,
    });
    const { body } = await activity(failing, 'error', /\w/);
    expect(body).toMatch(/Please tag me again/);
  });
});
