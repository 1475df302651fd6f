import { sql } from 'drizzle-orm';
import type { Transaction } from './connection.ts';

/** Every job and what it carries. `route` and `send` are short; `turn` runs as long as an agent does. */
export interface Jobs {
  /** Settle one delivery: signals, authority, anchor, session, message. */
  route: {
    organizationId: string;
    deliveryId: string;
    /** It has waited for its publication to be live again, and its turn has come. */
    isNext?: true;
  };
  /** Route what waited for a publication to be live again, in order. */
  resume: { organizationId: string; publicationId: string };
  /** Run the agent over the messages that wait in a session. */
  turn: { organizationId: string; sessionId: string };
  /** Show that the agent is at work, done, or failed, at one message. */
  presence: {
    organizationId: string;
    anchorId: string;
    messageId: string;
    phase: 'working' | 'done' | 'failed';
    text?: string;
  };
  /** Ask the provider where a publication is installed. */
  confirm: { organizationId: string; publicationId: string };
  /** Send one notice to one of the organization's notification addresses. */
  notify: { organizationId: string; noticeId: string; urlId: string };
  /** Send what waits in one anchor's outbox, in order. */
  send: { organizationId: string; anchorId: string };
}

export interface EnqueueOptions {
  /** A waiting job with this key is replaced, so that many reasons for one job make one job. */
  key?: string;
  runAt?: Date;
  maxAttempts?: number;
}

/** Adds a job in the caller's transaction: it exists if and only if the data that it is about was committed. */
export async function enqueue<Task extends keyof Jobs>(
  tx: Transaction,
  task: Task,
  payload: Jobs[Task],
  options: EnqueueOptions = {},
): Promise<void> {
  await tx.execute(
    sql`select tagalong_enqueue(${task}, ${JSON.stringify(payload)}::json, ${options.key ?? null}, ${
      options.runAt?.toISOString() ?? null
    }::timestamptz, ${options.maxAttempts ?? null}::int)`,
  );
}
