import type { InstallationIdentity, MessageAuthor } from '../../store/schema.ts';
import { readDecision } from '../decision-words.ts';
import { guardSignals, happenedAt, ignored, malformed, titleOf } from '../guard-signals.ts';
import type { AnchorAddress, Delivery, Signal } from '../provider.ts';
import { webhookJson } from '../webhook-body.ts';
import { hopsInId } from './hops-id.ts';
import { type AgentSessionEvent, agentSessionEventSchema, envelopeSchema } from './payload.ts';

/** Events that tell again what an `AgentSessionEvent` tells. */
const toldElsewhere = new Set(['AppUserNotification', 'Comment', 'Issue', 'Reaction']);
/** Linear's own words in the comment that it makes when an issue is delegated: nobody said them. */
const delegationNotice = /^This thread is for an agent session\b/;

/** What a Linear delivery means. Pure; never throws. */
export function signals(delivery: Delivery, identity: InstallationIdentity): Signal[] {
  return guardSignals(() => [signalOf(webhookJson(delivery), identity)]);
}

function signalOf(body: unknown, identity: InstallationIdentity): Signal {
  const parsed = envelopeSchema.safeParse(body);
  if (!parsed.success) return malformed("not one of Linear's webhook payloads");
  const envelope = parsed.data;
  const name = envelope.action ? `${envelope.type}.${envelope.action}` : envelope.type;
  const { organizationId, oauthClientId, appUserId } = envelope;
  if (organizationId !== identity.workspaceId) {
    return ignored('unknown_installation', `organization ${organizationId ?? 'missing'}`);
  }
  if (oauthClientId && identity.appId && oauthClientId !== identity.appId) {
    return ignored('unknown_installation', `OAuth client ${oauthClientId}`);
  }
  if (appUserId && identity.userId && appUserId !== identity.userId) {
    return ignored('unknown_installation', `app user ${appUserId}`);
  }
  if (envelope.type === 'OAuthApp') {
    return envelope.action === 'revoked'
      ? { kind: 'lifecycle', change: 'uninstalled', ...happenedAt(envelope.createdAt) }
      : ignored('unsupported_event', name);
  }
  if (toldElsewhere.has(envelope.type)) return ignored('handled_elsewhere', name);
  if (envelope.type !== 'AgentSessionEvent') return ignored('unsupported_event', name);
  const event = agentSessionEventSchema.safeParse(body);
  if (!event.success) return malformed(`${name}: ${event.error.issues[0]?.path.join('.')}`);
  return sessionSignal(event.data, name, identity);
}

function sessionSignal(event: AgentSessionEvent, name: string, identity: InstallationIdentity): Signal {
  switch (event.action) {
    case 'created':
      return createdSignal(event, identity);
    case 'prompted':
      return promptedSignal(event, identity);
    default:
      return ignored('unsupported_event', name);
  }
}

function createdSignal(event: AgentSessionEvent, identity: InstallationIdentity): Signal {
  const session = event.agentSession;
  const author = personOf(session.creatorId, session.creator);
  if (!author) return ignored('no_authority', 'the session was started by an automation, not by a person');
  if (author.id === identity.userId) return ignored('own_message');
  const said = session.comment?.body?.trim() ?? '';
  const isMention = said !== '' && !delegationNotice.test(said);
  const body = isMention ? withoutLeadingMention(said, identity.handle) : issueText(event);
  if (body === '') return ignored('empty_message');
  const externalKey = `linear:session:${session.id}`;
  return {
    kind: 'addressed',
    anchor: anchorOf(event),
    externalKey,
    author,
    body: withGuidance(body, event),
    // Who delegates an issue takes its text up; the delivery does not say whose text it is.
    ...(isMention
      ? {}
      : {
          takenUp: {
            body,
            externalKey: `${externalKey}:text`,
            instead: withGuidance(`Please look into this issue${named(event)}.`, event),
          },
        }),
    place: { agent_session_id: session.id, ...given('comment_id', session.commentId ?? session.comment?.id) },
    ...(isMention ? hopsOf(session.commentId ?? session.comment?.id) : {}),
  };
}

function promptedSignal(event: AgentSessionEvent, identity: InstallationIdentity): Signal {
  const activity = event.agentActivity;
  if (!activity) return malformed('AgentSessionEvent.prompted without agentActivity');
  const author = personOf(activity.userId, activity.user);
  if (!author) return ignored('no_authority', 'the prompt has no person as its author');
  if (author.id === identity.userId) return ignored('own_message');
  const anchor = anchorOf(event);
  if (activity.signal === 'stop') return { kind: 'stop', anchor, author };
  const body = (activity.content?.body ?? activity.body ?? '').trim();
  if (body === '') return ignored('empty_message');
  const decided = readDecision(body);
  if (decided)
    return { kind: 'decision', ...decided, anchor, author, place: { agent_activity_id: activity.id } };
  return {
    kind: 'addressed',
    anchor,
    ...hopsOf(activity.id),
    written: { agent_activity_id: activity.id },
    externalKey: `linear:activity:${activity.id}`,
    author,
    body: withoutLeadingMention(body, identity.handle) || body,
    place: {
      agent_session_id: event.agentSession.id,
      agent_activity_id: activity.id,
      ...given('comment_id', activity.sourceCommentId),
    },
  };
}

function hopsOf(id: string | null | undefined): { hops?: number } {
  const hops = hopsInId(id);
  return hops === undefined ? {} : { hops };
}

function personOf(
  id: string | null | undefined,
  user: { id: string; name?: string | null | undefined } | null | undefined,
): MessageAuthor | undefined {
  const known = id ?? user?.id;
  if (!known) return undefined;
  return { id: known, kind: 'person', ...given('name', user?.name) };
}

function anchorOf(event: AgentSessionEvent): AnchorAddress {
  const { id, issue, issueId } = event.agentSession;
  const title = titleOf([issue?.identifier, issue?.title].filter(Boolean).join(' '));
  return {
    key: id,
    place: {
      agent_session_id: id,
      ...given('issue_id', issueId ?? issue?.id),
      ...given('identifier', issue?.identifier),
    },
    ...given('title', title),
  };
}

function given<Name extends string>(
  name: Name,
  value: string | null | undefined,
): { [key in Name]?: string } & Record<string, string> {
  return (value ? { [name]: value } : {}) as { [key in Name]?: string } & Record<string, string>;
}

const named = ({ agentSession: { issue } }: AgentSessionEvent): string =>
  issue?.identifier ? ` (${issue.identifier})` : '';

function issueText({ agentSession: { issue } }: AgentSessionEvent): string {
  const heading = [issue?.identifier, issue?.title].filter(Boolean).join(': ');
  return [heading, issue?.description?.trim()].filter(Boolean).join('\n\n');
}

/** What the workspace's admins want of every agent, the nearest team's words last, as Linear orders them. */
function withGuidance(body: string, { guidance }: AgentSessionEvent): string {
  const rules = (guidance ?? []).map((rule) => rule.body.trim()).filter((rule) => rule !== '');
  return rules.length === 0 ? body : `${body}\n\nGuidance of this Linear workspace:\n\n${rules.join('\n\n')}`;
}

function withoutLeadingMention(text: string, handle: string | undefined): string {
  const mention = `@${handle}`;
  const isLeading = Boolean(handle) && text.toLowerCase().startsWith(mention.toLowerCase());
  const rest = text.slice(mention.length);
  return isLeading && !/^[\w-]/.test(rest) ? rest.replace(/^[\s,:]+/, '') : text;
}
