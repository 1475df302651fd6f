import { eq } from 'drizzle-orm';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { sessionEvents, sessions } from '../../src/store/schema.ts';
import { type DoorAnswer, type DoorQuestion, privateHeaders } from '../../src/vault/egress/protocol.ts';
import { setUpInternalServer } from './internal-harness.ts';
import { giveMessage, type Stage } from './stage.ts';

const { facts, serve, stageWith, raw, connectTo, recorded, test } = setUpInternalServer();

const person = (id: string) => ({ author: { id, kind: 'person' as const } });
const call = async (stage: Stage, name: string, input: Record<string, unknown> = {}) => {
  const client = await connectTo(stage.sessionId);
  const { content, isError } = await client.callTool({ name, arguments: input });
  const [first] = content as { text: string }[];
  return `${isError ? 'error: ' : ''}${first?.text}`;
};
const sessionOf = async (stage: Stage) =>
  (await test().database.select().from(sessions).where(eq(sessions.id, stage.sessionId)))[0];
/** Asks as the egress process does. */
const ask = async (stage: Stage, question: Partial<DoorQuestion>): Promise<DoorAnswer> => {
  const headers = { [privateHeaders.session]: stage.sessionId, [privateHeaders.door]: '1' };
  const body = JSON.stringify({ provider: 'slack', request: 'GET /x', ...question });
  const { text } = await raw('POST', '/door', headers, body);
  return JSON.parse(text) as DoorAnswer;
};

describe('what the agent reads by a tool', () => {
  const begin = async (writers: Stage['cloud']['writers'], grants = {}) => {
    await serve();
    const stage = await stageWith(grants);
    await giveMessage(stage);
    facts().strangers.add('UEVE');
    facts().writers = writers;
    return stage;
  };

  it('of colleagues changes nothing', async () => {
    const stage = await begin([person('U1'), person('U2')]);
    await call(stage, 'slack_read_thread');
    expect(await call(stage, 'slack_react', { text: 'eyes' })).toMatch(/^posted/);
    expect(await sessionOf(stage)).toMatchObject({ outsidersReadAt: null });
  });

  it.each([
    ['a stranger', [person('U1'), person('UEVE')]],
    ['a bot', [{ author: { id: 'B1', kind: 'bot' as const } }]],
    ['nobody knows whom', undefined],
    ['so many that they are not all asked about', Array.from({ length: 61 }, (_, i) => person(`U${i}`))],
  ])('of %s lowers the session before the agent is given it, and says so in the log', async (_, writers) => {
    const stage = await begin(writers);
    await call(stage, 'slack_read_thread');
    expect(await call(stage, 'slack_react', { text: 'eyes' })).toMatch(/^waiting_for_approval/);
    expect(await call(stage, 'slack_reply', { text: 'an answer' })).toMatch(/^posted/);
    const events = await test()
      .database.select()
      .from(sessionEvents)
      .where(eq(sessionEvents.sessionId, stage.sessionId));
    const noted = events.filter(({ type }) => type === 'tagalong.outsiders_read');
    expect(noted).toMatchObject([{ payload: { by: 'slack_read_thread' } }]);
  });

  it('elsewhere needs leave of its own and the access of who asked', async () => {
    const stage = await begin([], { 'read.elsewhere': 'on' });
    facts().audiences.set('C9', 'private');
    expect(await call(stage, 'slack_read_thread', { channel: 'C9' })).toMatch(
      /error: .*U1.* no access to that place/,
    );
    facts().members.add('U1@C9');
    stage.cloud.posts.push({
      mark: 'm',
      text: 'a secret plan',
      tool: '',
      thread: '',
      message: '',
      token: '',
    });
    expect(await call(stage, 'slack_read_thread', { channel: 'C9' })).toContain('a secret plan');
    expect(await sessionOf(stage)).toMatchObject({ readAudience: 'private' });
    const bare = await stageWith();
    expect(await call(bare, 'slack_read_thread', { channel: 'C9' })).toMatch(/Refused: slack:read.elsewhere/);
  });
});

describe('what was read in a private place', () => {
  const begin = async () => {
    await serve();
    const stage = await stageWith({ 'read.elsewhere': 'on', 'message.write': 'on' });
    await giveMessage(stage);
    facts().audiences.set('C9', 'private');
    facts().members.add('U1@C9');
    await call(stage, 'slack_read_thread', { channel: 'C9' });
    return stage;
  };

  it('is not posted in a more public one: not in the thread, not elsewhere, also where it is a reply', async () => {
    const stage = await begin();
    const refusal = /Not posted: another place was read here, which only those who were let in can see/;
    expect(await call(stage, 'slack_reply', { text: 'the plan' })).toMatch(refusal);
    expect(await call(stage, 'slack_post_message', { text: 'the plan', channel: 'C2' })).toMatch(refusal);
    const reply = await stage.submit('reply', { text: 'the plan' });
    expect(reply.kind).toBe('queued');
    await vi.waitFor(() => expect(stage.cloud.texts()).toHaveLength(1), 20_000);
    expect(stage.cloud.texts()).toEqual([
      expect.stringContaining('I have an answer, but to find it I read in a place'),
    ]);
    const replied = (await recorded(stage)).find(({ tool }) => tool === 'reply');
    expect(replied).toMatchObject({ state: 'failed', reason: expect.stringMatching(refusal) });
  });

  it('may go where no more can see it, for who is there', async () => {
    const stage = await begin();
    expect(await call(stage, 'slack_post_message', { text: 'the plan', channel: 'C9' })).toMatch(/^posted/);
    facts().audiences.set('C8', 'private');
    expect(await call(stage, 'slack_post_message', { text: 'x', channel: 'C8' })).toMatch(
      /no access to that place/,
    );
  });

  it('is what a session in a private place has read from the start', async () => {
    await serve();
    const stage = await stageWith({ 'message.write': 'on' });
    await giveMessage(stage);
    facts().audiences.set('C1', 'private');
    expect(await call(stage, 'slack_reply', { text: 'here' })).toMatch(/^posted/);
    expect(await call(stage, 'slack_post_message', { text: 'there', channel: 'C2' })).toMatch(
      /Not posted: this session is in a place, which only those who were let in can see/,
    );
  });
});

describe('the questions of the second door', () => {
  beforeEach(() => serve());
  const begin = async () => {
    const stage = await stageWith();
    await giveMessage(stage);
    facts().strangers.add('UEVE');
    return stage;
  };
  const lowered = async (stage: Stage) => (await sessionOf(stage))?.outsidersReadAt !== null;

  it('are taken from the egress process only', async () => {
    const stage = await begin();
    const body = JSON.stringify({ provider: 'slack', request: 'x', kind: 'write' });
    const others: Record<string, string>[] = [{}, { [privateHeaders.door]: '0' }, { 'x-door': '1' }];
    for (const headers of others) {
      const answer = await raw(
        'POST',
        '/door',
        { [privateHeaders.session]: stage.sessionId, ...headers },
        body,
      );
      expect(answer.status).toBe(404);
    }
    const headers = { [privateHeaders.session]: stage.sessionId, [privateHeaders.door]: '1' };
    for (const odd of [
      '',
      '{}',
      '{"kind":"write"}',
      '{"kind":"write","provider":"constructor","request":"x"}',
    ]) {
      expect((await raw('POST', '/door', headers, odd)).status).toBe(400);
    }
  });

  it('before a write: whether who asked still has authority, and a turn runs', async () => {
    const stage = await begin();
    expect(await ask(stage, { kind: 'write' })).toEqual({ ok: true });
    facts().strangers.add('U1');
    expect(await ask(stage, { kind: 'write' })).toMatchObject({ ok: false, reason: /no authority any more/ });
    facts().strangers.delete('U1');
    await test()
      .database.update(sessions)
      .set({ leaseWorkerId: 'worker_b' })
      .where(eq(sessions.id, stage.sessionId));
    expect(await ask(stage, { kind: 'write' })).toMatchObject({ ok: false, reason: /No turn is running/ });
  });

  it('before a read elsewhere: the access of who asked; then a write must not carry it further', async () => {
    const stage = await begin();
    facts().audiences.set('C9', 'private');
    const elsewhere = { kind: 'read_elsewhere', place: { channel: 'C9' } } as const;
    expect(await ask(stage, elsewhere)).toMatchObject({ ok: false, reason: /no access to that place/ });
    facts().members.add('U1@C9');
    expect(await ask(stage, elsewhere)).toEqual({ ok: true });
    expect(await ask(stage, { kind: 'write' })).toMatchObject({ ok: false, reason: /Not posted/ });
  });

  it('about texts: what is on record afterwards', async () => {
    const texts = async (
      brings: Extract<DoorQuestion, { kind: 'texts' }>['brings'],
      place = { channel: 'C1' },
    ) => {
      const stage = await begin();
      facts().audiences.set('C0', 'public');
      expect(await ask(stage, { kind: 'texts', brings, place })).toEqual({ ok: true });
      return lowered(stage);
    };
    expect(await texts({ by: 'named', writers: [person('U1')] })).toBe(false);
    expect(await texts({ by: 'named', writers: [] })).toBe(false);
    expect(await texts({ by: 'named', writers: [person('U1'), person('UEVE')] })).toBe(true);
    expect(await texts({ by: 'named', writers: null })).toBe(true);
    expect(await texts({ by: 'pull', pull: '3' })).toBe(true);
    expect(await texts({ by: 'forks' })).toBe(false);
    expect(await texts({ by: 'forks' }, { channel: 'C0' })).toBe(true);
    expect(await texts({ by: 'anybody' })).toBe(true);
  });
});
