import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { nextStatus } from './content.ts';
import { linearError } from './errors.ts';
import {
  type ActivityContent,
  type ActivityRecord,
  appUserOf,
  type CommentRecord,
  type IssueRecord,
  type LinearRecords,
  type SessionRecord,
  type UserRecord,
} from './records.ts';

const unresponsiveAfterMs = 10_000;
const staleAfterMs = 30 * 60_000;

export interface LinearDeskOptions {
  records: LinearRecords;
  clock: Clock;
  changed(): void;
  /** A session was made for the agent, or a person wrote in one. */
  tell(session: SessionRecord, activity: ActivityRecord | undefined): void;
}

export interface NewActivity {
  id?: string;
  sessionId: string;
  userId: string;
  content: ActivityContent;
  ephemeral?: boolean;
  signal?: string | null;
  signalMetadata?: unknown;
}

/** What can be done in the Linear stand-in, by the agent through GraphQL and by people through the page. */
export class LinearDesk {
  readonly records: LinearRecords;
  readonly #options: LinearDeskOptions;
  readonly #timers = new Set<() => void>();
  #lastMs = 0;

  constructor(options: LinearDeskOptions) {
    this.#options = options;
    this.records = options.records;
    for (const session of this.records.sessions) this.#watch(session);
  }

  /** Now, and later than every time before, so that what came later sorts later. */
  stamp(): string {
    this.#lastMs = Math.max(this.#options.clock.now(), this.#lastMs + 1);
    return new Date(this.#lastMs).toISOString();
  }

  changed(): void {
    this.records.lastSyncId += 1;
    this.#options.changed();
  }

  createIssue(given: {
    id?: string;
    title: string;
    description: string | null;
    creatorId: string;
  }): IssueRecord {
    const { records } = this;
    const { id, ...rest } = given;
    const todo = records.states.find(({ type }) => type === 'unstarted');
    const issue: IssueRecord = {
      ...this.#entity(id, records.issues, 'Issue'),
      number: records.issues.length + 1,
      ...rest,
      stateId: todo?.id ?? '',
      assigneeId: null,
      delegateId: null,
      labelIds: [],
      priority: 0,
    };
    records.issues.push(issue);
    this.changed();
    return issue;
  }

  /** Gives an issue to the agent: a thread and a session begin, and the agent is told. */
  delegate(issue: IssueRecord, byUserId: string, agent: UserRecord = appUserOf(this.records)): SessionRecord {
    issue.delegateId = agent.id;
    issue.updatedAt = this.stamp();
    const body = `This thread is for an agent session with ${agent.displayName}.`;
    const comment = this.createComment({ issueId: issue.id, parentId: null, userId: byUserId, body });
    const session = this.createSession(issue, comment, byUserId, agent.id);
    this.#options.tell(session, undefined);
    return session;
  }

  createSession(
    issue: IssueRecord,
    comment: CommentRecord,
    creatorId: string,
    appUserId: string,
  ): SessionRecord {
    const session: SessionRecord = {
      ...this.#entity(undefined, this.records.sessions, 'AgentSession'),
      issueId: issue.id,
      commentId: comment.id,
      creatorId,
      appUserId,
      status: 'pending',
      startedAt: null,
      endedAt: null,
      summary: null,
      plan: null,
      externalUrls: [],
      unresponsive: false,
    };
    comment.agentSessionId = session.id;
    this.records.sessions.push(session);
    this.#watch(session);
    this.changed();
    return session;
  }

  createComment(given: {
    id?: string;
    issueId: string;
    parentId: string | null;
    userId: string;
    body: string;
  }): CommentRecord {
    const { id, ...rest } = given;
    const entity = this.#entity(id, this.records.comments, 'Comment');
    const comment: CommentRecord = { ...entity, ...rest, agentSessionId: null, editedAt: null };
    this.records.comments.push(comment);
    this.changed();
    return comment;
  }

  /** Adds an activity and moves its session on. What is said to people appears as a comment in the thread as well. */
  addActivity(given: NewActivity): ActivityRecord {
    const session = this.records.sessions.find(({ id }) => id === given.sessionId);
    if (!session) throw linearError('invalid_input', 'Entity not found: AgentSession');
    const entity = this.#entity(given.id, this.records.activities, 'AgentActivity');
    const { content, signal = null } = given;
    const spoken = ['response', 'elicitation', 'error', 'prompt'].includes(content.type);
    const comment = spoken
      ? this.createComment({
          issueId: session.issueId,
          parentId: session.commentId,
          userId: given.userId,
          body: String(content.body),
        })
      : undefined;
    const activity: ActivityRecord = {
      ...entity,
      sessionId: session.id,
      userId: given.userId,
      content,
      ephemeral: given.ephemeral ?? false,
      signal,
      signalMetadata: given.signalMetadata ?? null,
      sourceCommentId: comment?.id ?? null,
    };
    this.records.activities.push(activity);
    const status = nextStatus(content, signal);
    session.status = status;
    session.updatedAt = activity.createdAt;
    session.startedAt ??= content.type === 'prompt' ? null : activity.createdAt;
    session.endedAt = status === 'complete' || status === 'error' ? activity.createdAt : null;
    if (content.type !== 'prompt') session.unresponsive = false;
    this.#watch(session);
    this.changed();
    return activity;
  }

  /** A person writes in a session; the agent is told. */
  prompt(session: SessionRecord, userId: string, body: string, signal: 'stop' | null): ActivityRecord {
    const activity = this.addActivity({
      sessionId: session.id,
      userId,
      content: { type: 'prompt', body },
      signal,
    });
    this.#options.tell(session, activity);
    return activity;
  }

  /** A sign of life that is no activity (an external URL): the session is not unresponsive. */
  sign(session: SessionRecord): void {
    session.updatedAt = this.stamp();
    session.unresponsive = false;
    this.changed();
  }

  /** Forgets its timers. */
  close(): void {
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  #entity(id: string | undefined, existing: readonly { id: string }[], name: string) {
    if (
      id !== undefined &&
      !/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i.test(id)
    ) {
      throw linearError('invalid_input', `Argument Validation Error - id must be a UUID v4.`);
    }
    if (existing.some((record) => record.id === id)) {
      throw linearError('invalid_input', `Entity already exists: ${name} with id ${id}.`);
    }
    const createdAt = this.stamp();
    return { id: id ?? randomUUID(), createdAt, updatedAt: createdAt };
  }

  /** Marks the session when the agent stays silent: 10 s after `created`, 30 min later on. */
  #watch(session: SessionRecord): void {
    const { clock } = this.#options;
    const seen = session.updatedAt;
    const later = (delayMs: number, mark: () => void) => {
      const cancel = clock.schedule(Math.max(0, Date.parse(seen) + delayMs - clock.now()), () => {
        this.#timers.delete(cancel);
        if (session.updatedAt !== seen) return;
        mark();
        this.changed();
      });
      this.#timers.add(cancel);
    };
    if (session.status === 'pending')
      later(unresponsiveAfterMs, () => {
        session.unresponsive = true;
      });
    if (session.status === 'pending' || session.status === 'active')
      later(staleAfterMs, () => {
        session.status = 'stale';
      });
  }
}
