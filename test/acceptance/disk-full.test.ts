import { afterAll, beforeAll, expect, it } from 'vitest';
import { cleanUp, startServer, type TestServer } from './server.ts';
import { errorIn, openSession, saidIn } from './sessions-api.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ env: { TAGALONG_WORKSPACE_MIB: '64' } });
});
afterAll(() => cleanUp(server));

it('a full workspace fails the turn with the reason, and the session stays usable', async () => {
  const session = await openSession(server, { system: 'You are Ada.' });
  expect(errorIn(await session.turn('run `echo begun > begun; cat begun`'))).toBe('');
  const full = await session.turn('run `head -c 200M /dev/zero > big; sleep 10; stat -c %s big`');
  expect(errorIn(full)).toMatch(/^I could not finish this: .*workspace is full.* Please tag me again/);
  const { sandbox } = await server.api<{ sandbox: { workspace: string } }>(`/v1/sessions/${session.id}`);
  expect(['image', 'measured']).toContain(sandbox.workspace);
  const freed = await session.turn('run `rm big; cat begun`');
  expect([errorIn(freed), saidIn(freed)]).toEqual(['', expect.stringContaining('begun')]);
  const after = await session.turn('what did I ask before?');
  expect([errorIn(after), saidIn(after)]).toEqual(['', expect.stringContaining('rm big')]);
});
