import { createHmac } from 'node:crypto';
import type { DeliveryPolicy } from '../deliveries.ts';
import {
  type ActivityRecord,
  identifierOf,
  type LinearRecords,
  type SessionRecord,
  sessionAgentOf,
  type UserRecord,
} from './records.ts';
import { viewsOf } from './views.ts';

const hourMs = 3_600_000;

/** Linear's webhooks: exactly 200 within 5 s; else after 1 min, 1 h and 6 h, each time with a fresh timestamp. */
export function linearDeliveryPolicy(signingSecret: string): DeliveryPolicy {
  return {
    timeoutMs: 5_000,
    retryDelaysMs: [60_000, hourMs, 6 * hourMs],
    accepts: (status) => status === 200,
    request(delivery, nowMs) {
      const body = JSON.stringify({ ...delivery.payload, webhookTimestamp: nowMs });
      return {
        body,
        headers: {
          'content-type': 'application/json; charset=utf-8',
          'user-agent': 'Linear-Webhook',
          'linear-event': delivery.event,
          'linear-delivery': delivery.id,
          'linear-timestamp': String(nowMs),
          'linear-signature': createHmac('sha256', signingSecret).update(body).digest('hex'),
        },
      };
    },
  };
}

/** The body of an `AgentSessionEvent`: `created` for a new session, `prompted` with the person's activity. */
export function agentSessionEvent(
  records: LinearRecords,
  session: SessionRecord,
  activity: ActivityRecord | undefined,
  createdAt: string,
  app: { clientId: string; webhookId: string } = {
    clientId: records.oauthClientId,
    webhookId: records.webhookId,
  },
): Record<string, unknown> {
  const common = {
    type: 'AgentSessionEvent',
    action: activity ? 'prompted' : 'created',
    createdAt,
    organizationId: records.organization.id,
    oauthClientId: app.clientId,
    appUserId: sessionAgentOf(records, session).id,
    webhookId: app.webhookId,
    agentSession: sessionPayload(records, session),
  };
  if (!activity)
    return {
      ...common,
      previousComments: [],
      guidance: null,
      promptContext: promptContext(records, session),
    };
  const author = records.users.find(({ id }) => id === activity.userId);
  return {
    ...common,
    agentActivity: {
      id: activity.id,
      agentSessionId: session.id,
      content: activity.content,
      signal: activity.signal,
      signalMetadata: activity.signalMetadata,
      sourceCommentId: activity.sourceCommentId,
      userId: activity.userId,
      user: author ? userPayload(records, author) : null,
      archivedAt: null,
      createdAt: activity.createdAt,
      updatedAt: activity.updatedAt,
    },
  };
}

function sessionPayload(records: LinearRecords, session: SessionRecord) {
  const issue = records.issues.find(({ id }) => id === session.issueId);
  const comment = records.comments.find(({ id }) => id === session.commentId);
  const creator = records.users.find(({ id }) => id === session.creatorId);
  const { team } = records;
  return {
    id: session.id,
    appUserId: sessionAgentOf(records, session).id,
    organizationId: records.organization.id,
    status: session.status,
    type: 'commentThread',
    createdAt: session.createdAt,
    updatedAt: session.updatedAt,
    archivedAt: null,
    startedAt: session.startedAt,
    endedAt: session.endedAt,
    summary: session.summary,
    sourceMetadata: null,
    sourceCommentId: null,
    url: viewsOf(records).session(session).url,
    creatorId: session.creatorId,
    creator: creator ? userPayload(records, creator) : null,
    commentId: session.commentId,
    comment: comment
      ? { id: comment.id, body: comment.body, userId: comment.userId, issueId: comment.issueId }
      : null,
    issueId: session.issueId,
    issue: issue
      ? {
          id: issue.id,
          identifier: identifierOf(records, issue),
          title: issue.title,
          description: issue.description,
          url: viewsOf(records).issue(issue).url,
          teamId: team.id,
          team: { id: team.id, key: team.key, name: team.name },
        }
      : null,
  };
}

function userPayload(records: LinearRecords, user: UserRecord) {
  const { id, name, email } = user;
  return { id, name, email, avatarUrl: null, url: viewsOf(records).user(user).url };
}

function promptContext(records: LinearRecords, session: SessionRecord): string {
  const issue = records.issues.find(({ id }) => id === session.issueId);
  if (!issue) return '';
  const text = (value: string) =>
    value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return [
    `<issue identifier="${identifierOf(records, issue)}">`,
    `<title>${text(issue.title)}</title>`,
    `<description>${text(issue.description ?? '')}</description>`,
    `<team name="${records.team.name}"/>`,
    '</issue>',
  ].join('\n');
}
