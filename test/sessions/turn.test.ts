import { asc, eq } from 'drizzle-orm';
import pino from 'pino';
import { beforeAll, describe, expect, it } from 'vitest';
import { AgentError } from '../../src/agents/program.ts';
import type { TurnReply } from '../../src/sessions/close-turn.ts';
import { createDirectSessions } from '../../src/sessions/direct.ts';
import { acquireLease, releaseLease } from '../../src/sessions/lease.ts';
import { addMessage } from '../../src/sessions/messages.ts';
import { createTurnRunner, type TurnRunner } from '../../src/sessions/turn.ts';
import type { Database } from '../../src/store/connection.ts';
import { newId } from '../../src/store/ids.ts';
import { withOrganization } from '../../src/store/organization.ts';
import {
  messages,
  type PublicationState,
  publications,
  sessionEvents,
  sessions,
  turns,
} from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import { type Script, type ScriptedAgents, scriptedAgents } from './scripted-agent.ts';

let database: Database;
beforeAll(async () => {
  database = (await createTestDatabase()).database;
});

interface Bench {
  fixture: Fixture;
  agents: ScriptedAgents;
  runner: TurnRunner;
  replies: TurnReply[];
  failures: TurnReply[];
  say(text: string, fields?: { key?: string; deliveryId?: string }): Promise<unknown>;
  run(): Promise<void>;
}

async function bench(
  script: Script,
  options: { fixture?: Fixture; workerId?: string; maxTurnMs?: number } = {},
): Promise<Bench> {
  const fixture = options.fixture ?? (await createFixture(database));
  const agents = scriptedAgents(script);
  const replies: TurnReply[] = [];
  const failures: TurnReply[] = [];
  const runner = createTurnRunner({
    database,
    live: agents.live,
    egress: { setTurn: () => {} },
    outbound: {
      reply: async (_, reply) => void replies.push(reply),
      failure: async (_, failure) => void failures.push(failure),
    },
    workerId: options.workerId ?? 'worker_1',
    sessionsFolder: '/nowhere',
    firstUid: 200_000,
    logger: pino({ level: 'silent' }),
    maxTurnMs: options.maxTurnMs ?? 60_000,
  });
  const { organizationId, sessionId, anchorId, publicationId } = fixture;
  return {
    fixture,
    agents,
    runner,
    replies,
    failures,
    say: (text, fields = {}) =>
      withOrganization(database, organizationId, (tx) =>
        addMessage(tx, {
          organizationId,
          sessionId,
          anchorId,
          publicationId,
          externalKey: fields.key ?? newId('msg'),
          author: { id: 'U1', name: 'Maya', kind: 'person' },
          authority: true,
          body: text,
          place: {},
          deliveryId: fields.deliveryId ?? null,
        }),
      ),
    run: () => runner.run({ organizationId, sessionId }),
  };
}

const turnsOf = (fixture: Fixture) =>
  database.select().from(turns).where(eq(turns.sessionId, fixture.sessionId)).orderBy(asc(turns.id));
const eventTypes = async (fixture: Fixture) =>
  (
    await database
      .select({ type: sessionEvents.type })
      .from(sessionEvents)
      .where(eq(sessionEvents.sessionId, fixture.sessionId))
      .orderBy(asc(sessionEvents.position))
  ).map((row) => row.type);

describe('a turn', () => {
  it('runs over all messages that wait and replies once', async () => {
    const prompts: string[] = [];
    const b = await bench(async ({ text }) => {
      prompts.push(text);
      return 'done';
    });
    await b.say('first');
    await b.say('second');
    await b.run();
    expect(prompts).toHaveLength(1);
    expect(prompts[0]).toMatch(/first[\s\S]*second/);
    expect(b.replies).toMatchObject([{ text: 'done', anchorId: b.fixture.anchorId }]);
    expect(await turnsOf(b.fixture)).toMatchObject([{ state: 'completed', stopReason: 'end_turn' }]);
  });

  it('does not start over words from a place while the publication is not live, but does over the API', async () => {
    const prompts: string[] = [];
    const b = await bench(async ({ text }) => {
      prompts.push(text);
      return 'done';
    });
    const becomes = (state: PublicationState) =>
      database.update(publications).set({ state }).where(eq(publications.id, b.fixture.publicationId));
    await becomes('suspended');
    await b.say('first words');
    await b.run();
    await becomes('needs_reauth');
    await b.run();
    expect(prompts).toEqual([]);
    await createDirectSessions(database).say({ ...b.fixture, text: 'by the API' });
    await b.run();
    expect(prompts).toEqual([expect.not.stringContaining('first words')]);
    await becomes('live');
    await b.run();
    expect(prompts[1]).toContain('first words');
    expect(b.replies.at(-1)).toMatchObject({ anchorId: b.fixture.anchorId });
  });

  it('keeps the order in which messages were delivered', async () => {
    let prompt = '';
    const b = await bench(async ({ text }) => {
      prompt = text;
      return '';
    });
    await b.say('later', { deliveryId: 'dlv_2' });
    await b.say('earlier', { deliveryId: 'dlv_1' });
    await b.run();
    expect(prompt).toMatch(/earlier[\s\S]*later/);
  });

  it('takes what came meanwhile into the next turn, of the same program', async () => {
    const prompts: string[] = [];
    const b = await bench(async ({ text }) => {
      prompts.push(text);
      if (prompts.length === 1) await b.say('meanwhile');
      return `answer ${prompts.length}`;
    });
    await b.say('first');
    await b.run();
    expect(prompts).toHaveLength(2);
    expect(b.replies.map((reply) => reply.text)).toEqual(['answer 1', 'answer 2']);
    expect(b.agents.opened).toHaveLength(1);
  });

  it('keeps the program warm for the next job', async () => {
    const b = await bench(async () => 'ok');
    await b.say('one');
    await b.run();
    await b.run();
    await b.say('two');
    await b.run();
    expect(b.replies).toHaveLength(2);
    expect(b.agents.opened).toHaveLength(1);
  });

  it('opens a new program, with its memory, when another worker ran the session in between', async () => {
    const seen: (string | undefined)[] = [];
    const b = await bench(async ({ input }) => {
      seen.push(input.programSessionId);
      return 'ok';
    });
    await b.say('one');
    await b.run();
    const other = await bench(async () => 'other', { fixture: b.fixture, workerId: 'worker_2' });
    await other.say('two');
    await other.run();
    await b.say('three');
    await b.run();
    expect(b.agents.opened).toHaveLength(2);
    expect(seen).toEqual([undefined, 'program-1']);
  });

  it('records what the program did as events, in order', async () => {
    const b = await bench(async ({ update }) => {
      update({ kind: 'tool_use', toolUseId: 't1', name: 'bash', input: { command: 'ls' } });
      update({ kind: 'tool_result', toolUseId: 't1', text: 'README', isError: false });
      update({ kind: 'message', text: 'There is a README.' });
      return 'There is a README.';
    });
    await b.say('what is there?');
    await b.run();
    expect(await eventTypes(b.fixture)).toEqual([
      'user.message',
      'session.status_running',
      'tagalong.sandbox_started',
      'agent.tool_use',
      'agent.tool_result',
      'agent.message',
      'session.status_idle',
    ]);
  });

  it('says in the thread that it failed, and the session stays usable', async () => {
    let calls = 0;
    const b = await bench(async () => {
      calls += 1;
      if (calls === 1) throw new AgentError('model_failed', 'The model is overloaded (529)');
      return 'now it works';
    });
    await b.say('go');
    await b.run();
    expect(b.failures[0]?.text).toMatch(
      /could not finish this: The model is overloaded \(529\)\. Please tag me again/,
    );
    await b.say('again');
    await b.run();
    expect(b.replies).toMatchObject([{ text: 'now it works' }]);
    expect((await turnsOf(b.fixture)).map((turn) => turn.state)).toEqual(['failed', 'completed']);
  });

  it('fails with the reason of the sandbox when that dies', async () => {
    const b = await bench(async ({ die }) => {
      die('The sandbox ran out of memory.');
      return new Promise(() => {});
    });
    await b.say('go');
    await b.run();
    expect(b.failures[0]?.text).toContain('The sandbox ran out of memory.');
  });

  it('ends after its time with words about it', async () => {
    const b = await bench(({ cancelled }) => cancelled.then(() => ''), { maxTurnMs: 50 });
    await b.say('go');
    await b.run();
    expect(b.failures[0]?.text).toContain('I stopped after');
  });

  it('stops when a person says stop', async () => {
    const started = Promise.withResolvers<void>();
    const b = await bench(async ({ cancelled }) => {
      started.resolve();
      await cancelled;
      return 'never said';
    });
    await b.say('go');
    const run = b.run();
    await started.promise;
    await b.runner.stop(b.fixture.sessionId);
    await run;
    expect(b.replies).toMatchObject([{ text: 'Stopped.' }]);
    expect(await turnsOf(b.fixture)).toMatchObject([{ state: 'cancelled' }]);
  });

  it('gives each session a host uid of its own', async () => {
    const first = await bench(async () => '');
    const second = await bench(async () => '');
    for (const each of [first, second]) {
      await each.say('go');
      await each.run();
    }
    const uids = await Promise.all(
      [first, second].map(async (each) => {
        const rows = await database.select().from(sessions).where(eq(sessions.id, each.fixture.sessionId));
        return rows[0]?.uid;
      }),
    );
    expect(new Set(uids).size).toBe(2);
    for (const uid of uids) expect(uid).toBeGreaterThanOrEqual(200_000);
  });
});

describe('two workers', () => {
  it('never run the same session at once', async () => {
    let atOnce = 0;
    let most = 0;
    const script: Script = async () => {
      atOnce += 1;
      most = Math.max(most, atOnce);
      await new Promise((resolve) => setTimeout(resolve, 20));
      atOnce -= 1;
      return 'ok';
    };
    const a = await bench(script);
    const b = await bench(script, { fixture: a.fixture, workerId: 'worker_2' });
    await a.say('one');
    await Promise.all([a.run(), b.run(), a.run(), b.run()]);
    await a.say('two');
    await Promise.all([a.run(), b.run()]);
    expect(most).toBe(1);
    expect([...a.replies, ...b.replies]).toHaveLength(2);
  });

  it('refuses the writes of the one that lost its lease', async () => {
    const entered = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const slow = await bench(async () => {
      entered.resolve();
      await goOn.promise;
      return 'too late';
    });
    await slow.say('go');
    const run = slow.run();
    await entered.promise;
    await database
      .update(sessions)
      .set({ leaseExpiresAt: new Date(0) })
      .where(eq(sessions.id, slow.fixture.sessionId));
    const heir = await bench(async () => 'in time', { fixture: slow.fixture, workerId: 'worker_2' });
    await heir.run();
    goOn.resolve();
    await run;
    expect(slow.replies).toEqual([]);
    expect(heir.replies).toMatchObject([{ text: 'in time' }]);
    expect(await turnsOf(slow.fixture)).toMatchObject([{ state: 'completed', attempt: 2 }]);
  });
});

describe('an interrupted turn', () => {
  it('is resumed by the next worker, told that it was interrupted', async () => {
    const stopped = await bench(() => new Promise(() => {}));
    await stopped.say('go');
    const run = stopped.run();
    await expect.poll(async () => (await turnsOf(stopped.fixture))[0]?.promptedAt).toBeTruthy();
    await stopped.runner.shutDown();
    await run;
    expect(await turnsOf(stopped.fixture)).toMatchObject([{ state: 'running' }]);

    let prompt = '';
    const next = await bench(
      async ({ text }) => {
        prompt = text;
        return 'finished';
      },
      { fixture: stopped.fixture, workerId: 'worker_2' },
    );
    await next.run();
    expect(prompt).toContain('interrupted by a restart');
    expect(prompt).toContain('go');
    expect(next.replies).toMatchObject([{ text: 'finished' }]);
    expect(stopped.replies).toEqual([]);
  });

  it('is given up with a word in the thread when it is interrupted again and again', async () => {
    const b = await bench(async () => 'never');
    await b.say('go');
    const { organizationId, sessionId, anchorId } = b.fixture;
    const turnId = newId('turn');
    await database.insert(turns).values({
      id: turnId,
      organizationId,
      sessionId,
      anchorId,
      fence: 0,
      attempt: 4,
      promptedAt: new Date(),
    });
    await database
      .update(messages)
      .set({ state: 'claimed', turnId })
      .where(eq(messages.sessionId, sessionId));
    await b.run();
    expect(b.failures[0]?.text).toContain('interrupted 4 times');
    expect(b.replies).toEqual([]);
  });

  it('leaves a session alone that a living worker holds', async () => {
    const b = await bench(async () => 'no');
    await b.say('go');
    const { organizationId, sessionId } = b.fixture;
    const lease = await acquireLease(database, organizationId, sessionId, 'worker_9');
    await b.run();
    expect(b.replies).toEqual([]);
    if (lease) await releaseLease(database, lease);
    await b.run();
    expect(b.replies).toHaveLength(1);
  });
});
