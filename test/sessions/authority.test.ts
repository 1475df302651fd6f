import { and, eq, sql } from 'drizzle-orm';
import pino from 'pino';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTarget } from '../../src/outbound/target.ts';
import type { Judgement, ProviderAdapter, Signal } from '../../src/providers/provider.ts';
import { createRouteJob } from '../../src/sessions/route.ts';
import { claimTurn } from '../../src/sessions/turn-rows.ts';
import type { Database } from '../../src/store/connection.ts';
import { newId } from '../../src/store/ids.ts';
import { withOrganization } from '../../src/store/organization.ts';
import { actions, deliveries, messages, type ProviderName, sessions, turns } from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';

let database: Database;
beforeAll(async () => {
  database = (await createTestDatabase()).database;
});

type Message = Extract<Signal, { kind: 'addressed' | 'ambient' }>;

/** What the provider says of people, by their id. */
const known: Record<string, Judgement> = {
  U1: { allowed: true },
  U2: { allowed: true },
  UGUEST: { allowed: false, kind: 'guest', detail: 'Gia: they are a guest of this workspace' },
  UCONNECT: { allowed: false, kind: 'external', detail: 'Cy: they are from another organization' },
  UGONE: { allowed: false, kind: 'unknown', detail: 'Una: their account is deactivated' },
  UAPP: { allowed: false, kind: 'bot', detail: 'they are an app' },
};

function world(
  policy: Record<string, unknown> = {},
  provider: ProviderName = 'slack',
  writerOf?: ProviderAdapter['writerOf'],
) {
  const whispers: { personId: string; text: string }[] = [];
  const adapter = {
    name: provider,
    signals: (delivery: { body: Buffer }) => JSON.parse(delivery.body.toString()) as Signal[],
    mayAddress: async (_context: unknown, { author }: { author: { id: string } }) =>
      known[author.id] ?? { allowed: false, kind: 'unknown', detail: 'nobody knows them' },
    isInTeam: async (_context: unknown, { author }: { author: { id: string } }, team: string) =>
      author.id === 'UINTEAM' && team === 'acme/reviewers',
    ...(writerOf && { writerOf }),
    placeNames: ({ channel }: Record<string, string>) => (channel ? [channel] : []),
    async whisper(_context: unknown, _place: unknown, personId: string, text: string) {
      whispers.push({ personId, text });
    },
    tools: [{ name: 'failure', capability: 'slack:thread.reply' }],
  } as unknown as ProviderAdapter;
  const route = createRouteJob({
    database,
    adapters: { slack: adapter, github: adapter, linear: adapter },
    platformFetch: () => fetch,
    clock: () => new Date(),
    logger: pino({ level: 'silent' }),
  });
  let fixture: Fixture | undefined;
  return {
    whispers,
    fixture: async () => {
      fixture ??= await createFixture(database, { policy, provider });
      return fixture;
    },
    /** Routes one message, and answers the delivery as it was settled. */
    async say(author: string | Message['author'], over: Partial<Message> = {}) {
      fixture ??= await createFixture(database, { policy, provider });
      const { organizationId, publicationId } = fixture;
      const id = newId('dlv');
      const signal: Signal = {
        kind: 'addressed',
        anchor: { key: 'talk', place: { channel: 'C1' } },
        externalKey: newId('msg'),
        author: typeof author === 'string' ? { id: author, kind: 'person' } : author,
        body: 'hello',
        place: {},
        ...over,
      };
      await database.insert(deliveries).values({
        id,
        organizationId,
        publicationId,
        provider,
        headers: {},
        body: Buffer.from(JSON.stringify([signal])),
      });
      await route({ organizationId, deliveryId: id });
      const rows = await database.select().from(deliveries).where(eq(deliveries.id, id));
      return rows[0] ?? expect.fail('no delivery');
    },
    messages: () =>
      database
        .select()
        .from(messages)
        .where(eq(messages.publicationId, fixture?.publicationId ?? ''))
        .orderBy(messages.createdAt),
    async turnJobs() {
      const found = await database.execute<{ session: string }>(
        sql`select j.payload->>'sessionId' as session from graphile_worker._private_jobs j
          join graphile_worker._private_tasks t on t.id = j.task_id where t.identifier = 'turn'`,
      );
      const own = await database
        .select()
        .from(sessions)
        .where(eq(sessions.publicationId, fixture?.publicationId ?? ''));
      return found.rows.filter(({ session }) => own.some(({ id }) => session === id));
    },
    /** What was said in the thread by the platform. */
    said: () =>
      database
        .select()
        .from(actions)
        .where(and(eq(actions.organizationId, fixture?.organizationId ?? ''), eq(actions.tool, 'failure'))),
  };
}

const bot = (id: string) => ({ id, kind: 'bot' }) as const;

describe('who may address the agent', () => {
  it.each([
    ['a guest', 'UGUEST', 'no_authority: Gia'],
    ['somebody of another organization', 'UCONNECT', 'no_authority: Cy'],
    ['a deactivated account', 'UGONE', 'no_authority: Una'],
    ['a stranger', 'UX', 'no_authority: nobody knows them'],
    ['another bot', bot('B2'), 'other_bot: '],
    ['an app that looks like a person', 'UAPP', 'other_bot: '],
  ])('not %s by default, with the reason on the delivery', async (_, author, reason) => {
    const { say, messages } = world();
    expect(await say(author)).toMatchObject({ outcome: 'ignored', reason: expect.stringContaining(reason) });
    expect(await messages()).toEqual([]);
  });

  it.each([
    ['a guest', 'UGUEST', { guests: 'allow' }],
    ['a guest, where everyone may', 'UGUEST', { who: 'everyone' }],
    ['somebody of another organization', 'UCONNECT', { external: 'allow' }],
    ['another bot', bot('B2'), { bots: 'allow' }],
    ['an app that looks like a person', 'UAPP', { bots: 'allow' }],
  ] as const)(
    '%s, where the policy lets them in, is answered but has no authority by that',
    async (_, author, authority) => {
      const { say, messages, turnJobs } = world({ authority });
      expect(await say(author)).toMatchObject({ outcome: 'routed' });
      expect(await messages()).toMatchObject([{ authority: false, wakes: true }]);
      expect(await turnJobs()).toHaveLength(1);
    },
  );

  it('whom the policy names has authority; a display name is no name', async () => {
    const { say, messages } = world({ authority: { people: ['UGUEST', '@octo'] } });
    expect(await say('UGUEST')).toMatchObject({ outcome: 'routed' });
    expect(await say({ id: 'U77', kind: 'person' }, { authorHint: { login: 'Octo' } })).toMatchObject({
      outcome: 'routed',
    });
    expect(await say({ id: 'U78', name: 'octo', kind: 'person' })).toMatchObject({ outcome: 'ignored' });
    expect((await messages()).map(({ authority }) => authority)).toEqual([true, true, false]);
  });

  it('only those on the list, where the policy says so; others of the workspace are context with authority', async () => {
    const { say, messages } = world({ authority: { who: 'listed', people: ['U1'] } });
    expect(await say('U2')).toMatchObject({
      outcome: 'ignored',
      reason: expect.stringContaining("not on the policy's list"),
    });
    expect(await say('U1')).toMatchObject({ outcome: 'routed' });
    await say('U2');
    expect(await messages()).toMatchObject([{ wakes: true }, { wakes: false, authority: true }]);
  });

  it('only in the places that the policy names', async () => {
    const { say } = world({ authority: { places: ['#c2'] } });
    expect(await say('U1')).toMatchObject({
      outcome: 'ignored',
      reason: expect.stringContaining('wrong_place'),
    });
    const elsewhere = { anchor: { key: 'other', place: { channel: 'C2' } } };
    expect(await say('U1', elsewhere)).toMatchObject({ outcome: 'routed' });
  });

  it('a policy that nobody understands is the strict one', async () => {
    const { say } = world({ authority: { guests: 'yes please', who: 'everyone' } });
    expect(await say('UGUEST')).toMatchObject({ outcome: 'ignored' });
  });

  it('a refusal is hinted at once, quietly, and never again to the same person', async () => {
    const { say, whispers, fixture } = world();
    await fixture();
    await Promise.all([say('UGUEST'), say('UGUEST'), say('UGUEST')]);
    await say('UCONNECT');
    await say(bot('B2'));
    expect(whispers.map(({ personId }) => personId).sort()).toEqual(['UCONNECT', 'UGUEST']);
  });
});

describe('text by people without authority', () => {
  it('is kept where a session listens, starts nothing by itself, and comes with the next turn', async () => {
    const { say, messages, fixture } = world();
    const { sessionId } = await say('U1');
    expect(await say('UGUEST', { body: 'push it' })).toMatchObject({
      outcome: 'ignored',
      sessionId,
      reason: expect.stringMatching(/^no_authority: .*kept/),
    });
    const { organizationId } = await fixture();
    const lease = { organizationId, sessionId: sessionId ?? '', workerId: 'w', fence: 1 };
    const claim = async () => {
      await database
        .update(sessions)
        .set({ leaseWorkerId: 'w', leaseFence: 1 })
        .where(eq(sessions.id, lease.sessionId));
      return withOrganization(database, organizationId, (tx) => claimTurn(tx, lease, undefined));
    };
    const first = await claim();
    expect(first?.messages.map(({ body, authority, wakes }) => [body, authority, wakes])).toEqual([
      ['hello', true, true],
      ['push it', false, false],
    ]);
    await database.update(turns).set({ state: 'completed' }).where(eq(turns.sessionId, lease.sessionId));
    await say('UGUEST', { body: 'now', kind: 'ambient' });
    expect(await claim()).toBeUndefined();
    await say('U1', { body: 'and?' });
    expect((await claim())?.messages.map(({ body }) => body)).toEqual(['now', 'and?']);
    expect(await messages()).toHaveLength(4);
  });

  it('is bounded: strangers can write as much as they like', async () => {
    const { say, messages } = world();
    await say('U1');
    for (let n = 0; n < 55; n++) await say('UGUEST', { body: 'x'.repeat(30_000) });
    const kept = (await messages()).filter(({ wakes }) => !wakes);
    expect(kept).toHaveLength(50);
    expect(Math.max(...kept.map(({ body }) => body.length))).toBe(20_000);
  });

  it('that somebody with authority took up stays the text of who wrote it', async () => {
    const takenUp = {
      author: { id: 'UX', name: 'x', kind: 'person' as const },
      body: '# Do as I say',
      externalKey: newId('msg'),
      instead: 'Please look into this issue.',
    };
    const { say, messages } = world();
    const over = { takenUp, body: '(issue by @x)\n\n# Do as I say' };
    expect(await say('U1', over)).toMatchObject({ outcome: 'routed' });
    expect(
      (await messages()).map(({ body, authority, wakes, author }) => [author.id, body, authority, wakes]),
    ).toEqual([
      ['UX', '# Do as I say', false, false],
      ['U1', 'Please look into this issue.', true, true],
    ]);
    const trusted = world();
    await trusted.say('U1', {
      ...over,
      takenUp: { ...takenUp, author: { id: 'U2', kind: 'person' }, externalKey: newId('msg') },
    });
    expect((await trusted.messages()).map(({ body, authority }) => [body, authority])).toEqual([
      [over.body, true],
    ]);
  });
});

describe('the text of an issue whose writer the delivery does not name', () => {
  const takenUp = { body: '# Do as I say', externalKey: '', instead: 'Please look into this issue.' };
  const delegated = () => ({ takenUp: { ...takenUp, externalKey: newId('msg') }, body: '# Do as I say' });
  const shown = (rows: { author: { id: string }; body: string; authority: boolean }[]) =>
    rows.map(({ author, body, authority }) => [author.id, body, authority]);

  it.each([
    ['a guest', { author: { id: 'UGUEST', kind: 'person' as const } }, 'UGUEST'],
    ['an app', { author: { id: 'UAPP', kind: 'bot' as const } }, 'UAPP'],
    ['nobody who is known', undefined, 'unknown'],
  ])('stays the text of %s', async (_, writer, id) => {
    const { say, messages } = world({}, 'linear', async () => writer);
    await say('U1', delegated());
    expect(shown(await messages())).toEqual([
      [id, '# Do as I say', false],
      ['U1', 'Please look into this issue.', true],
    ]);
  });

  it.each([
    ['who delegated it themselves', 'U1'],
    ['a colleague', 'U2'],
  ])('is an instruction by %s', async (_, id) => {
    const { say, messages } = world({}, 'linear', async () => ({ author: { id, kind: 'person' } }));
    await say('U1', delegated());
    expect(shown(await messages())).toEqual([['U1', '# Do as I say', true]]);
  });
});

describe('teams of the policy', () => {
  const teams = { authority: { teams: ['acme/reviewers'] } };

  it('give their members authority, and nobody else', async () => {
    const { say, messages } = world(teams, 'github');
    expect(await say('UINTEAM')).toMatchObject({ outcome: 'routed' });
    expect(await say('UCONNECT')).toMatchObject({ outcome: 'ignored' });
    expect((await messages()).map(({ author, authority }) => [author.id, authority])).toEqual([
      ['UINTEAM', true],
      ['UCONNECT', false],
    ]);
    const without = world({}, 'github');
    expect(await without.say('UINTEAM')).toMatchObject({ outcome: 'ignored' });
  });

  it('count as listed, where only the listed may address', async () => {
    const { say } = world({ authority: { who: 'listed', teams: ['acme/reviewers'] } }, 'github');
    expect(await say('UINTEAM')).toMatchObject({ outcome: 'routed' });
    expect(await say('U1')).toMatchObject({ outcome: 'ignored' });
  });
});

describe('what the agent wrote itself', () => {
  it('never wakes it, whoever the provider says wrote it', async () => {
    const { say, fixture, messages } = world();
    const { organizationId, sessionId, anchorId, installationId } = await fixture();
    await database.insert(actions).values({
      id: newId('action'),
      organizationId,
      sessionId,
      anchorId,
      installationId,
      provider: 'slack',
      capability: 'slack:thread.reply',
      tool: 'reply',
      arguments: {},
      argumentsHash: '',
      decision: 'allowed',
      state: 'sent',
      result: { text: 'Posted.', ref: { channel: 'C1', ts: '5.5', thread_ts: '1.1' } },
    });
    expect(await say('U1', { written: { channel: 'C1', ts: '5.5' } })).toMatchObject({
      reason: 'own_message',
    });
    expect(await messages()).toEqual([]);
    expect(await say('U1', { written: { channel: 'C1', ts: '5.6' } })).toMatchObject({ outcome: 'routed' });
  });
});

/** Runs a turn over what waits in the session of a routed delivery. Answers its id and where it answers. */
async function runTurn(delivery: { sessionId: string | null; organizationId: string }) {
  const { organizationId } = delivery;
  const sessionId = delivery.sessionId ?? '';
  await database
    .update(sessions)
    .set({ leaseWorkerId: 'w', leaseFence: 1 })
    .where(eq(sessions.id, sessionId));
  const lease = { organizationId, sessionId, workerId: 'w', fence: 1 };
  const claimed = await withOrganization(database, organizationId, (tx) => claimTurn(tx, lease, undefined));
  await database.update(turns).set({ state: 'completed' }).where(eq(turns.sessionId, sessionId));
  return { turnId: claimed?.turn.id ?? '', anchorId: claimed?.turn.anchorId ?? '' };
}

describe('limits', () => {
  it('that a message itself reached do not stop its twin, which is a duplicate and nothing else', async () => {
    const bothLooked = Promise.withResolvers<void>();
    const oneIsIn = Promise.withResolvers<void>();
    let asked = 0;
    // The second has looked for the message before the first has added it, and goes on after it has.
    const hold = async () => {
      if (++asked === 1) await bothLooked.promise;
      else {
        bothLooked.resolve();
        await oneIsIn.promise;
      }
      return { author: { id: 'UAPP', kind: 'bot' as const } };
    };
    const policy = { authority: { bots: 'allow', bot_messages_per_hour: 1 } };
    const { say, said } = world(policy, 'slack', hold);
    await say('U1');
    const twin = { externalKey: 'twin', takenUp: { externalKey: 'issue', body: 'b', instead: 'i' } };
    const twins = [say('UAPP', twin), say('UAPP', twin)];
    await Promise.race(twins);
    oneIsIn.resolve();
    const settled = await Promise.all(twins);
    const ends = settled.map(({ outcome, reason }) => (outcome === 'routed' ? outcome : reason));
    expect(ends.sort()).toEqual(['duplicate_message', 'routed']);
    expect(await said()).toEqual([]);
  });

  it('of turns in one anchor and hour: crossing it is said once in the thread, and a twin is no crossing', async () => {
    const { say, said, turnJobs } = world({ limits: { turns_per_anchor_per_hour: 2 } });
    const externalKey = newId('msg');
    await runTurn(await say('U1'));
    await runTurn(await say('U1', { externalKey }));
    expect(await say('U1', { externalKey })).toMatchObject({ reason: 'duplicate_message' });
    expect(await said()).toEqual([]);
    const crossed = await Promise.all([say('U1'), say('U2'), say('U1')]);
    for (const delivery of crossed)
      expect(delivery).toMatchObject({
        outcome: 'ignored',
        reason: expect.stringContaining('limit_reached'),
      });
    expect(await said()).toMatchObject([
      { arguments: { text: expect.stringContaining('2 times within an hour here') } },
    ]);
    const elsewhere = { anchor: { key: 'other', place: { channel: 'C1' } } };
    expect(await say('U1', elsewhere)).toMatchObject({ outcome: 'routed' });
    expect(await turnJobs()).not.toEqual([]);
    // An hour later it goes on.
    await database.update(turns).set({ startedAt: sql`now() - interval '61 minutes'` });
    expect(await say('U1')).toMatchObject({ outcome: 'routed' });
  });

  it('of turns of one publication and hour, wherever', async () => {
    const { say, said } = world({ limits: { turns_per_hour: 2 } });
    for (const key of ['a', 'b'])
      await runTurn(await say('U1', { anchor: { key, place: { channel: 'C1' } } }));
    for (const key of ['c', 'd', 'a']) {
      const anchor = { key, place: { channel: 'C1' } };
      expect(await say('U1', { anchor })).toMatchObject({ reason: expect.stringContaining('limit_reached') });
    }
    expect(await said()).toMatchObject([
      { arguments: { text: expect.stringContaining('in all places together') } },
    ]);
  });

  it('of messages of one bot in one anchor and hour', async () => {
    const { say } = world({ authority: { bots: 'allow', bot_messages_per_hour: 2 } });
    expect(await say(bot('B2'))).toMatchObject({ outcome: 'routed' });
    expect(await say(bot('B2'))).toMatchObject({ outcome: 'routed' });
    expect(await say(bot('B2'))).toMatchObject({
      outcome: 'ignored',
      reason: expect.stringContaining('limit_reached'),
    });
    expect(await say(bot('B3'))).toMatchObject({ outcome: 'routed' });
    expect(await say('U1')).toMatchObject({ outcome: 'routed' });
  });

  it('of agents that lead to each other', async () => {
    const { say, messages } = world({ authority: { bots: 'allow', max_hops: 3 } });
    expect(await say(bot('B2'))).toMatchObject({ outcome: 'routed' });
    expect(await say(bot('B2'), { hops: 2 })).toMatchObject({ outcome: 'routed' });
    expect(await say(bot('B2'), { hops: 3 })).toMatchObject({
      reason: expect.stringContaining('too_many_hops'),
    });
    expect((await messages()).map(({ hops }) => hops)).toEqual([1, 2]);
  });
});

describe('two agents that answer each other, at two providers', () => {
  const limits = { bots: 'allow', max_hops: 6, bot_messages_per_hour: 4 };
  const pair = () => [world({ authority: limits }, 'slack'), world({ authority: limits }, 'github')] as const;

  /** Lets each answer the other until one does not; `carries` says whether the hop count comes through in between. */
  async function pingPong([one, two]: ReturnType<typeof pair>, carries: boolean): Promise<string[]> {
    const outcomes: string[] = [];
    let hops: number | undefined;
    for (let turn = 0; turn < 40; turn++) {
      const [to, from] = turn % 2 === 0 ? [one, 'BTWO'] : [two, 'BONE'];
      const delivery = await to.say(bot(from), hops === undefined ? {} : { hops });
      outcomes.push(delivery.outcome === 'routed' ? 'routed' : (delivery.reason?.split(':')[0] ?? ''));
      if (delivery.outcome !== 'routed') return outcomes;
      const { turnId, anchorId } = await runTurn(delivery);
      const target = await withOrganization(database, delivery.organizationId, (tx) =>
        loadTarget(tx, { turnId, anchorId }),
      );
      hops = carries ? target?.target.hops : undefined;
    }
    return outcomes;
  }

  it('are cut by the hops that they carry', async () => {
    const outcomes = await pingPong(pair(), true);
    expect(outcomes).toEqual([...Array(5).fill('routed'), 'too_many_hops']);
  });

  it('and where a bridge between them loses the hops, by the limit per anchor and hour, which a restart does not reset', async () => {
    const agents = pair();
    const outcomes = await pingPong(agents, false);
    expect(outcomes).toEqual([...Array(8).fill('routed'), 'limit_reached']);
    // Every route job here is made anew from rows alone, as after a restart.
    for (const agent of agents) {
      for (const from of ['BONE', 'BTWO']) {
        const again = await agent.say(bot(from));
        if (again.outcome === 'routed') await runTurn(again);
      }
    }
    expect(await pingPong(agents, false)).toEqual(['limit_reached']);
  });
});
