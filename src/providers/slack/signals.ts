import { z } from 'zod';
import type { InstallationIdentity, MessageAuthor } from '../../store/schema.ts';
import { readDecision } from '../decision-words.ts';
import { boundedHops, guardSignals, happenedAt, ignored, malformed, titleOf } from '../guard-signals.ts';
import type { AnchorAddress, Delivery, Signal } from '../provider.ts';
import { webhookJson } from '../webhook-body.ts';
import { isOwn, type SlackMessage, slackMessageSchema } from './message.ts';
import { mentions, mentionsSomebody, readableText, withoutLeadingMention } from './text.ts';

const envelopeSchema = z.object({
  type: z.string(),
  api_app_id: z.string().nullish(),
  team_id: z.string().nullish(),
  context_team_id: z.string().nullish(),
  event_time: z.number().nullish(),
  event: z.looseObject({ type: z.string() }).nullish(),
});
const stopSchema = z.object({ channel: z.string(), user: z.string(), thread_ts: z.string() });
const revokedSchema = z.object({ tokens: z.object({ bot: z.array(z.string()).nullish() }) });

const clickSchema = z.object({
  api_app_id: z.string().nullish(),
  team: z.object({ id: z.string() }).nullish(),
  user: z.object({ id: z.string().min(1), name: z.string().nullish(), username: z.string().nullish() }),
  container: z.object({
    channel_id: z.string().nullish(),
    message_ts: z.string().min(1),
    thread_ts: z.string().nullish(),
  }),
  channel: z.object({ id: z.string() }).nullish(),
  actions: z.array(z.object({ value: z.string().nullish() })),
});

/** Subtypes of `message` that are somebody saying something. */
const spokenSubtypes = new Set(['file_share', 'thread_broadcast', 'me_message']);

/** What a Slack delivery means. Pure; never throws. https://docs.slack.dev/apis/events-api/ */
export function signals(delivery: Delivery, identity: InstallationIdentity): Signal[] {
  return guardSignals(() => [signalOf(webhookJson(delivery), identity)]);
}

function signalOf(body: unknown, identity: InstallationIdentity): Signal {
  const envelope = envelopeSchema.safeParse(body);
  if (!envelope.success) return malformed('not an envelope of the Events API');
  const { type, event } = envelope.data;
  if (type === 'block_actions') return buttonSignal(body, identity);
  if (type !== 'event_callback') return ignored('unsupported_event', type);
  if (!event) return malformed('an event_callback without event');
  const team = envelope.data.context_team_id ?? envelope.data.team_id;
  if (!team) return malformed('an event_callback without team');
  if (team !== identity.workspaceId) return ignored('unknown_installation', `team ${team}`);
  const app = envelope.data.api_app_id;
  if (app && identity.appId && app !== identity.appId) return ignored('unknown_installation', `app ${app}`);
  const { event_time: seconds } = envelope.data;
  const uninstalled: Signal = {
    kind: 'lifecycle',
    change: 'uninstalled',
    ...happenedAt(seconds && seconds * 1000),
  };
  switch (event.type) {
    case 'app_mention':
    case 'message':
      return messageSignal(event, team, identity);
    case 'agent_session_stopped':
      return stopSignal(event, team);
    case 'app_uninstalled':
      return uninstalled;
    case 'tokens_revoked': {
      // Names users, not tokens: the app is gone for us only when the bot's own is among them.
      const revoked = revokedSchema.safeParse(event);
      return revoked.success && (revoked.data.tokens.bot?.length ?? 0) > 0
        ? uninstalled
        : ignored('unsupported_event', event.type);
    }
    default:
      return ignored('unsupported_event', event.type);
  }
}

/** A click on a button of ours. https://docs.slack.dev/reference/interaction-payloads/block_actions-payload */
function buttonSignal(body: unknown, identity: InstallationIdentity): Signal {
  const click = clickSchema.safeParse(body);
  if (!click.success) return malformed(`block_actions: ${click.error.issues[0]?.path.join('.')}`);
  const { team, api_app_id: app, user, container, actions, channel } = click.data;
  if (team?.id !== identity.workspaceId)
    return ignored('unknown_installation', `team ${team?.id ?? 'missing'}`);
  if (app && identity.appId && app !== identity.appId) return ignored('unknown_installation', `app ${app}`);
  const decided = actions.map(({ value }) => readDecision(value ?? '')).find((each) => each !== undefined);
  const channelId = container.channel_id ?? channel?.id;
  if (!decided || !channelId) return ignored('unsupported_event', 'block_actions');
  const threadTs = container.thread_ts ?? container.message_ts;
  const name = user.name ?? user.username;
  return {
    kind: 'decision',
    ...decided,
    anchor: anchorOf(team.id, channelId, threadTs),
    author: { id: user.id, kind: 'person', ...(name ? { name } : {}) },
    place: { channel: channelId, ts: container.message_ts },
  };
}

function anchorOf(team: string, channel: string, threadTs: string, title?: string): AnchorAddress {
  return {
    key: `${team}:${channel}:${threadTs}`,
    place: { team, channel, thread_ts: threadTs },
    ...(title ? { title } : {}),
  };
}

function stopSignal(event: unknown, team: string): Signal {
  const stop = stopSchema.safeParse(event);
  if (!stop.success) return malformed('agent_session_stopped without channel, user and thread_ts');
  const { channel, user, thread_ts } = stop.data;
  return { kind: 'stop', anchor: anchorOf(team, channel, thread_ts), author: { id: user, kind: 'person' } };
}

function messageSignal(event: unknown, team: string, identity: InstallationIdentity): Signal {
  const parsed = slackMessageSchema.safeParse(event);
  if (!parsed.success) return malformed('a message with fields of the wrong kind');
  const message = parsed.data;
  const inner = message.message ?? message.previous_message;
  if (isOwn(message, identity) || (inner && isOwn(inner, identity))) return ignored('own_message');
  if (message.subtype === 'message_changed') return ignored('edited_message');
  if (message.subtype === 'message_deleted') return ignored('deleted_message');
  if (message.user === 'USLACKBOT') return ignored('other_bot', message.user);
  if (message.subtype === 'bot_message' || message.bot_id) return botSignal(message, team, identity);
  if (message.subtype && !spokenSubtypes.has(message.subtype)) {
    return ignored('unsupported_event', `message.${message.subtype}`);
  }
  const { channel, user, ts } = message;
  if (!channel || !user || !ts) return malformed('a message without channel, user or ts');
  return spokenSignal({ ...message, channel, user, ts }, team, identity);
}

/** Another bot addresses the agent by a mention only: whatever else it says is between others. */
function botSignal(message: SlackMessage, team: string, identity: InstallationIdentity): Signal {
  const { channel, ts } = message;
  const id = message.bot_id ?? message.user;
  const isMentioned = identity.userId !== undefined && mentions(message.text ?? '', identity.userId);
  if (!channel || !ts || !id || !isMentioned) return ignored('other_bot', id ?? undefined);
  const signal = spokenSignal({ ...message, channel, ts, user: id }, team, identity);
  if (signal.kind !== 'addressed') return ignored('other_bot', id);
  const hops = message.metadata?.event_payload?.hops;
  return {
    ...signal,
    author: { ...signal.author, id, kind: 'bot' },
    ...(hops === undefined ? {} : { hops: boundedHops(hops) }),
  };
}

type SpokenMessage = SlackMessage & { channel: string; user: string; ts: string };

function spokenSignal(message: SpokenMessage, team: string, identity: InstallationIdentity): Signal {
  const { channel, user, ts } = message;
  const raw = message.text ?? '';
  const own = identity.userId ?? '';
  const isReply = Boolean(message.thread_ts) && message.thread_ts !== ts;
  const isMentioned = message.type === 'app_mention' || (own !== '' && mentions(raw, own));
  const isDirect =
    message.channel_type === 'im' || message.channel_type === 'app_home' || channel.startsWith('D');
  const isAddressed = isMentioned || isDirect;
  if (!isAddressed && !isReply) return ignored('not_addressed');
  // A reply to somebody else in a thread of ours is between them.
  if (!isAddressed && mentionsSomebody(raw)) return ignored('not_addressed', 'it mentions somebody else');
  const body = bodyOf(message, identity, isReply);
  if (body === '') return ignored('empty_message');
  const name =
    message.user_profile?.display_name || message.user_profile?.real_name || message.user_profile?.name;
  const author: MessageAuthor = { id: user, kind: 'person', ...(name ? { name } : {}) };
  const authorTeam = message.user_team ?? message.source_team;
  return {
    kind: isAddressed ? 'addressed' : 'ambient',
    // Every top-level message of a direct conversation is the root of a thread of its own.
    anchor: anchorOf(team, channel, message.thread_ts || ts, titleOf(body)),
    // `app_mention` and `message` tell of one message with different event ids.
    externalKey: `slack:${team}:${channel}:${ts}`,
    author,
    body,
    place: { channel, ts },
    written: { channel, ts },
    ...(authorTeam ? { authorHint: { team: authorTeam } } : {}),
  };
}

function bodyOf(message: SpokenMessage, identity: InstallationIdentity, isReply: boolean): string {
  const own = identity.userId ?? '';
  const names = identity.userId && identity.handle ? { [identity.userId]: identity.handle } : {};
  const raw = message.text ?? '';
  const files = (message.files ?? []).map((file) => {
    const name = file.name ?? file.title ?? file.id ?? 'unnamed';
    return `[file: ${name}${file.mimetype ? `, ${file.mimetype}` : ''}]`;
  });
  const said = readableText(withoutLeadingMention(raw, own), names).trim();
  const body = [said, ...files].filter((part) => part !== '').join('\n');
  // A bare mention inside a thread asks the agent to look at the thread.
  return body === '' && isReply ? readableText(raw, names).trim() : body;
}
