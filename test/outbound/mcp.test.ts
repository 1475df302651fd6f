import { eq } from 'drizzle-orm';
import { describe, expect, it } from 'vitest';
import { sessions, turns } from '../../src/store/schema.ts';
import { call, setUpInternalServer } from './internal-harness.ts';
import { gate, giveMessage } from './stage.ts';

const { test, clock, serve, stageWith, connectTo, recorded } = setUpInternalServer();

describe('the MCP server: tools/list', () => {
  it('shows what the grants allow, says which needs a person, and never what is not for agents', async () => {
    await serve();
    const stage = await stageWith({ 'reaction.add': 'off' });
    const { tools } = await (await connectTo(stage.sessionId)).listTools();
    const byName = new Map(tools.map((tool) => [tool.name, tool]));
    expect([...byName.keys()]).toEqual([
      'slack_reply',
      'slack_idempotent',
      'slack_canvas',
      'slack_post_message',
      'slack_read_thread',
    ]);
    expect(byName.get('slack_canvas')?.description).toMatch(
      /person must approve.*slack:canvas.write.*waiting_for_approval/,
    );
    expect(byName.get('slack_reply')).toMatchObject({
      inputSchema: {
        type: 'object',
        properties: { text: { type: 'string', minLength: 1 } },
        required: ['text'],
      },
      annotations: { readOnlyHint: false },
    });
    expect(byName.get('slack_read_thread')?.annotations).toMatchObject({ readOnlyHint: true });
  });
});

describe('the MCP server: tools/call', () => {
  it('sends a write through the outbox and answers with what the provider made of it', async () => {
    await serve();
    const stage = await stageWith();
    await giveMessage(stage, { place: { ts: '5.5' } });
    const client = await connectTo(stage.sessionId);
    expect(await call(client, 'slack_reply', { text: 'hello' })).toEqual({
      isError: false,
      text: 'posted 0',
    });
    expect(stage.cloud.posts).toMatchObject([{ text: 'hello', message: '5.5', token: stage.installationId }]);
  });

  it('performs a read at once and records it, bounded', async () => {
    await serve({ maxRecordedChars: 10, maxResultChars: 30 });
    const stage = await stageWith();
    stage.cloud.posts.push({
      mark: '',
      text: 'x'.repeat(100),
      tool: '',
      thread: '',
      message: undefined,
      token: '',
    });
    const { isError, text } = await call(await connectTo(stage.sessionId), 'slack_read_thread', {});
    expect(isError).toBe(false);
    expect(text).toBe(`${'x'.repeat(30)}\n[… 70 more characters left out]`);
    const [row] = await recorded(stage);
    expect(row).toMatchObject({ state: 'sent', decision: 'allowed', arguments: { limit: 10 } });
    expect(String(row?.result?.text)).toMatch(/^x{10}\n/);
  });

  it('answers what the provider refused as an error, and records that', async () => {
    await serve();
    const stage = await stageWith();
    stage.cloud.behaviours.push({ before: () => new Response('{}', { status: 400 }) });
    const client = await connectTo(stage.sessionId);
    expect(await call(client, 'slack_reply', { text: 'x' })).toEqual({
      isError: true,
      text: 'Failed: channel_is_archived',
    });
    expect(await recorded(stage)).toMatchObject([{ state: 'failed', reason: 'channel_is_archived' }]);
  });

  it('refuses what is not granted or unlisted, saying what would allow it, and asks people for what is on ask', async () => {
    await serve();
    const stage = await stageWith();
    const client = await connectTo(stage.sessionId);
    expect(await call(client, 'slack_delete', { text: 'x' })).toEqual({
      isError: true,
      text: "Refused: slack:message.delete is not granted to this publication. An admin can grant it in the publication's settings.",
    });
    expect(await call(client, 'slack_canvas', { text: 'x' })).toMatchObject({
      isError: false,
      text: expect.stringMatching(/^waiting_for_approval apr_/),
    });
    const states = async () => (await recorded(stage)).map(({ tool, state }) => [tool, state]);
    expect((await states()).sort()).toEqual([
      ['ask_approval', expect.stringMatching(/queued|sent/)],
      ['slack_canvas', 'waiting'],
      ['slack_delete', 'refused'],
    ]);
    for (const name of ['reply', 'failure', 'nope', '__proto__', '']) {
      expect(await call(client, name, { text: 'x' })).toMatchObject({
        isError: true,
        text: expect.stringContaining('There is no tool'),
      });
    }
    expect(await recorded(stage)).toHaveLength(3);
    expect(stage.cloud.posts.filter(({ tool }) => tool !== 'ask_approval')).toEqual([]);
  });

  it('names the field that is wrong, and records nothing', async () => {
    await serve();
    const stage = await stageWith();
    const client = await connectTo(stage.sessionId);
    for (const input of [{}, { text: '' }, { text: '\0\0' }, { text: 7 }]) {
      expect(await call(client, 'slack_reply', input)).toMatchObject({
        isError: true,
        text: expect.stringMatching(/slack_reply is not valid:\n- text: /),
      });
    }
    expect(await call(client, 'slack_read_thread', { limit: 1_000 })).toMatchObject({
      isError: true,
      text: expect.stringContaining('- limit: '),
    });
    expect(await recorded(stage)).toEqual([]);
  });

  it('answers many at once, each with its own', async () => {
    await serve();
    const stages = await Promise.all([stageWith(), stageWith(), stageWith()]);
    const answers = await Promise.all(
      stages.flatMap(async (stage) => {
        const client = await connectTo(stage.sessionId);
        const texts = Array.from({ length: 10 }, (_, n) => `${stage.sessionId} ${n}`);
        const results = await Promise.all(texts.map((text) => call(client, 'slack_reply', { text })));
        return { stage, texts, results };
      }),
    );
    for (const { stage, texts, results } of answers) {
      expect(results.every((result) => !result.isError)).toBe(true);
      for (const [index, result] of results.entries()) {
        const position = Number(result.text.replace('posted ', ''));
        expect(stage.cloud.posts[position]?.text).toBe(texts[index]);
      }
      expect(stage.cloud.posts).toHaveLength(10);
    }
  });

  it('says that it is queued when the provider takes too long, and it is sent all the same', async () => {
    await serve({ waitMs: 100 });
    const stage = await stageWith();
    const held = gate();
    const done = gate();
    stage.cloud.behaviours.push({
      before: async () => {
        await held.opened;
        return undefined;
      },
      after: () => {
        done.open();
        return undefined;
      },
    });
    const client = await connectTo(stage.sessionId);
    const { text } = await call(client, 'slack_reply', { text: 'slow' });
    const [row] = await recorded(stage);
    expect(text).toContain(`queued ${row?.id}`);
    held.open();
    await done.opened;
    expect(stage.cloud.texts()).toEqual(['slow']);
  });

  it('answers a resumed turn from the record', async () => {
    await serve();
    const stage = await stageWith();
    const client = await connectTo(stage.sessionId);
    await call(client, 'slack_reply', { text: 'once' });
    await test().database.update(turns).set({ attempt: 2 }).where(eq(turns.id, stage.turnId));
    expect(await call(client, 'slack_reply', { text: 'once' })).toEqual({
      isError: false,
      text: 'posted 0',
    });
    expect(stage.cloud.texts()).toEqual(['once']);
  });

  it('is refused without a running turn, and for a turn that another worker runs', async () => {
    await serve();
    const stage = await stageWith();
    const client = await connectTo(stage.sessionId);
    await test()
      .database.update(sessions)
      .set({ leaseWorkerId: 'worker_b' })
      .where(eq(sessions.id, stage.sessionId));
    const refusal = { isError: true, text: expect.stringContaining('No turn is running') };
    expect(await call(client, 'slack_reply', { text: 'x' })).toMatchObject(refusal);
    await test()
      .database.update(sessions)
      .set({ leaseWorkerId: 'worker_a' })
      .where(eq(sessions.id, stage.sessionId));
    await test().database.update(turns).set({ state: 'completed' }).where(eq(turns.id, stage.turnId));
    expect(await call(client, 'slack_read_thread', {})).toMatchObject(refusal);
    expect(await recorded(stage)).toMatchObject([{ state: 'refused' }, { state: 'refused' }]);
  });

  it('and the closing of its turn at the same moment come one after the other', async () => {
    await serve();
    const stage = await stageWith();
    const client = await connectTo(stage.sessionId);
    const closing = gate();
    const called = gate();
    const closed = test().database.transaction(async (tx) => {
      await tx.select().from(sessions).where(eq(sessions.id, stage.sessionId)).for('update');
      closing.open();
      await called.opened;
      await tx.update(turns).set({ state: 'completed' }).where(eq(turns.id, stage.turnId));
    });
    await closing.opened;
    const answer = call(client, 'slack_reply', { text: 'x' });
    // Until the call waits for the session's row, which it does before it locks anything else.
    for (let waiting = 0; waiting === 0; ) {
      const found = await test().database.execute<{ n: number }>(
        'select count(*)::int as n from pg_locks where not granted',
      );
      waiting = found.rows[0]?.n ?? 0;
    }
    called.open();
    await closed;
    expect(await answer).toMatchObject({
      isError: true,
      text: expect.stringContaining('No turn is running'),
    });
    expect(stage.cloud.posts).toEqual([]);
  });

  it('acts in the latest anchor of the session when the turn has none', async () => {
    await serve();
    const stage = await stageWith();
    await test().database.update(turns).set({ anchorId: null }).where(eq(turns.id, stage.turnId));
    await call(await connectTo(stage.sessionId), 'slack_reply', { text: 'x' });
    expect(stage.cloud.posts).toMatchObject([{ thread: '1700000000.000100' }]);
  });

  it('is bounded per session and minute', async () => {
    await serve({ callsPerMinute: 3 });
    const stage = await stageWith();
    const other = await stageWith();
    const client = await connectTo(stage.sessionId);
    for (let n = 0; n < 3; n++) expect((await call(client, 'slack_read_thread', {})).isError).toBe(false);
    expect(await call(client, 'slack_read_thread', {})).toMatchObject({
      isError: true,
      text: expect.stringContaining('wait 20 s'),
    });
    expect((await call(await connectTo(other.sessionId), 'slack_read_thread', {})).isError).toBe(false);
    clock().advance(20_000);
    expect((await call(client, 'slack_read_thread', {})).isError).toBe(false);
  });
});
