import { eq, sql } from 'drizzle-orm';
import { pino } from 'pino';
import { type ActionInput, type Submission, submitAction } from '../../src/outbound/actions.ts';
import { type VoteInput, type VoteOutcome, vote } from '../../src/outbound/approvals/decide.ts';
import { approvalSetting } from '../../src/outbound/approvals/setting.ts';
import type { SendDependencies } from '../../src/outbound/dependencies.ts';
import { createSendJob } from '../../src/outbound/send.ts';
import { sessionPort } from '../../src/sessions/session-port.ts';
import type { Database } from '../../src/store/connection.ts';
import { newId } from '../../src/store/ids.ts';
import { withOrganization } from '../../src/store/organization.ts';
import { actions, anchors, messages, outbox, publications, sessions, turns } from '../../src/store/schema.ts';
import { createFixture, type Fixture, type FixtureOptions } from '../support/fixture.ts';
import { Cloud, cloudAdapters } from './cloud.ts';

export const silent = pino({ level: 'silent' });

/** A clock that stands still until it is moved. */
export class TestClock {
  now = new Date();
  read = (): Date => this.now;
  advance(ms: number): void {
    this.now = new Date(this.now.getTime() + ms);
  }
}

/** One session with a running turn, and a cloud that it acts in. */
export interface Stage extends Fixture {
  database: Database;
  cloud: Cloud;
  clock: TestClock;
  turnId: string;
  submit(tool: string, input: Record<string, unknown>, over?: Partial<ActionInput>): Promise<Submission>;
  post(text: string, over?: Partial<ActionInput>): Promise<string>;
  /** Runs one `send` job to its end, as another worker would with `over`. */
  send(over?: Partial<SendDependencies>): Promise<void>;
  action(id: string): Promise<typeof actions.$inferSelect>;
  row(actionId: string): Promise<typeof outbox.$inferSelect>;
  /** As after the death of whoever holds it. */
  expireLease(): Promise<void>;
  anchor(): Promise<typeof anchors.$inferSelect>;
  publication(): Promise<typeof publications.$inferSelect>;
  job(): Promise<{ runAt: Date } | undefined>;
}

export async function createStage(database: Database, options: FixtureOptions = {}): Promise<Stage> {
  const fixture = await createFixture(database, options);
  const { organizationId, sessionId, anchorId, installationId, publicationId } = fixture;
  const cloud = new Cloud();
  const clock = new TestClock();
  const adapters = cloudAdapters(cloud);
  const turnId = newId('turn');
  await database
    .update(sessions)
    .set({ leaseWorkerId: 'worker_a', leaseFence: 1, status: 'running' })
    .where(eq(sessions.id, sessionId));
  await database.insert(turns).values({ id: turnId, organizationId, sessionId, fence: 1, anchorId });

  const submit: Stage['submit'] = (name, input, over = {}) => {
    const tool = adapters.slack.tools.find((each) => each.name === name);
    if (!tool) throw new Error(`no tool ${name}`);
    return withOrganization(database, organizationId, (tx) =>
      submitAction(tx, {
        organizationId,
        sessionId,
        provider: 'slack',
        grants: options.capabilities ?? {},
        tool,
        arguments: input,
        turn: { id: turnId, attempt: 1 },
        anchor: { id: anchorId, installationId },
        approval: approvalSetting(adapters.slack, publicationId, options.policy ?? {}),
        ...over,
      }),
    );
  };
  const one = <T>(rows: T[]): T => {
    if (rows[0] === undefined) throw new Error('no such row');
    return rows[0];
  };
  return {
    ...fixture,
    database,
    cloud,
    clock,
    turnId,
    submit,
    async post(text, over) {
      const submission = await submit('slack_reply', { text }, over);
      if (submission.kind !== 'queued') throw new Error(`it was ${submission.kind}`);
      return submission.actionId;
    },
    send: (over = {}) =>
      createSendJob({
        database,
        adapters,
        platformFetch: cloud.platformFetch,
        workerId: 'worker_a',
        clock: clock.read,
        logger: silent,
        random: () => 0.5,
        sessions: sessionPort,
        ...over,
      })({ organizationId, anchorId }),
    action: async (id) => one(await database.select().from(actions).where(eq(actions.id, id))),
    row: async (id) => one(await database.select().from(outbox).where(eq(outbox.actionId, id))),
    async expireLease() {
      await database
        .update(anchors)
        .set({ leaseExpiresAt: sql`now() - interval '1 second'` })
        .where(eq(anchors.id, anchorId));
    },
    anchor: async () => one(await database.select().from(anchors).where(eq(anchors.id, anchorId))),
    publication: async () =>
      one(await database.select().from(publications).where(eq(publications.id, publicationId))),
    async job() {
      const found = await database.execute<{ run_at: Date | string }>(
        sql`select run_at from graphile_worker._private_jobs where key = ${`send:${anchorId}`}`,
      );
      return found.rows[0] && { runAt: new Date(found.rows[0].run_at) };
    },
  };
}

/** Asks people for leave to do what is on ask, as a call of the agent does. */
export async function ask(stage: Stage, text: string): Promise<{ approvalId: string; actionId: string }> {
  const submission = await stage.submit('slack_canvas', { text });
  if (submission.kind !== 'waiting') throw new Error(`it was ${submission.kind}`);
  return submission;
}

/** One person's word, in a transaction of its own. */
export function voteOn(
  stage: Stage,
  approvalId: string,
  over: Partial<VoteInput> = {},
): Promise<VoteOutcome> {
  return withOrganization(stage.database, stage.organizationId, (tx) =>
    vote(
      tx,
      { adapters: cloudAdapters(stage.cloud), sessions: sessionPort },
      {
        approvalId,
        anchorId: stage.anchorId,
        decision: 'approve',
        voter: { id: 'U2', name: 'Maya', kind: 'person', hasAuthority: true },
        now: stage.clock.read(),
        ...over,
      },
    ),
  );
}

/** A message that a turn was given. */
export async function giveMessage(
  stage: Stage,
  over: Partial<typeof messages.$inferInsert> = {},
): Promise<string> {
  const id = newId('msg');
  await stage.database.insert(messages).values({
    id,
    organizationId: stage.organizationId,
    sessionId: stage.sessionId,
    anchorId: stage.anchorId,
    publicationId: stage.publicationId,
    externalKey: id,
    author: { id: 'U1', kind: 'person' },
    authority: true,
    body: 'hello',
    place: { channel: 'C1', ts: '1700000000.000200' },
    state: 'claimed',
    turnId: stage.turnId,
    ...over,
  });
  return id;
}

/** Something that happens when it is said, not when time has passed. */
export function gate(): { opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}
