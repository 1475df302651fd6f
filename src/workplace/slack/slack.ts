import { randomUUID } from 'node:crypto';
import type { Hono } from 'hono';
import type { Clock } from '../clock.ts';
import { type DeliveryState, WebhookSender } from '../deliveries.ts';
import { type Emulator, startEmulatorInTurn } from '../emulator.ts';
import type { WorkplaceSecrets } from '../secrets.ts';
import { type Person, people, seeds, slugOf } from '../seeds.ts';
import { type SlackApp, type SlackAppRecord, SlackApps } from './apps.ts';
import {
  envelope,
  messageEvents,
  type SlackAppIdentity,
  slackDeliveryPolicy,
  type TwinOrder,
} from './events.ts';
import { slackFront } from './front.ts';
import { type ThreadStatus, ThreadStatuses } from './statuses.ts';
import { channelTypeOf, SlackTables } from './tables.ts';

export interface SlackState {
  emulator: unknown;
  statuses: Record<string, ThreadStatus>;
  deliveries: DeliveryState;
  /** Absent in states that were saved before apps could be made. */
  apps?: SlackAppRecord[];
}

export interface SlackWorkspaceOptions {
  baseUrl: string;
  agentName: string;
  secrets: WorkplaceSecrets['slack'];
  twinOrder: TwinOrder;
  clock: Clock;
  fetch: typeof fetch;
  changed(): void;
  state?: SlackState;
}

/** Event types besides messages that the agent's app is subscribed to. */
const subscribed: readonly string[] = [
  'reaction_added',
  'reaction_removed',
  'member_joined_channel',
  'member_left_channel',
  'channel_archive',
  'channel_unarchive',
];

/** The emulated Slack workspace: its Web API, and the events that it sends to the agent's app. */
export interface SlackWorkspace {
  app: Hono;
  tables: SlackTables;
  statuses: ThreadStatuses;
  identity: SlackAppIdentity;
  sender: WebhookSender;
  /** Made from manifests, beside the workplace's own app. */
  apps: SlackApps;
  state(): SlackState;
}

/** Starts the workspace, from its saved state when there is one. */
export async function startSlack(options: SlackWorkspaceOptions): Promise<SlackWorkspace> {
  const { secrets, clock, changed, state } = options;
  const statuses = new ThreadStatuses(state?.statuses);
  const sender = new WebhookSender({
    policy: slackDeliveryPolicy(secrets.signingSecret),
    clock,
    fetch: options.fetch,
    changed,
    ...(state ? { state: state.deliveries } : {}),
  });
  let workspace: SlackWorkspace | undefined;
  const emulator = await startEmulatorInTurn({
    service: 'slack',
    baseUrl: options.baseUrl,
    seed: { slack: seedOf(options) },
    dispatch: async (_type, _action, payload) => {
      changed();
      const event = (payload as { event: Record<string, unknown> }).event;
      if (!workspace) return;
      const { identity, sender: own, apps: made } = workspace;
      void tell(workspace, options, { identity, sender: own }, event);
      for (const app of made.installed()) void tell(workspace, options, app, event);
    },
  });
  const tables = new SlackTables(emulator);
  if (state) emulator.restore(state.emulator);
  else furnish(emulator, tables);
  const team = tables.rows('teams').all()[0];
  const usersWho = (wanted: Person['standing']) => {
    const handles = people.filter(({ standing }) => standing === wanted).map(({ handle }) => handle);
    return tables
      .users()
      .filter(({ name }) => handles.includes(name))
      .map((user) => user.user_id);
  };
  const identity = { teamId: String(team?.team_id), appId: secrets.appId, botUserId: secrets.botUserId };
  const apps = new SlackApps({
    emulator,
    tables,
    teamId: () => identity.teamId,
    clock,
    fetch: options.fetch,
    changed,
    ...(state?.apps ? { records: state.apps } : {}),
  });
  workspace = {
    apps,
    app: slackFront({
      apps,
      emulator,
      tables,
      statuses,
      clock,
      guests: usersWho('guest'),
      externals: usersWho('external'),
      changed,
    }),
    tables,
    statuses,
    identity,
    sender,
    state: () => ({
      emulator: emulator.snapshot(),
      statuses: statuses.state(),
      deliveries: sender.state(),
      apps: apps.state(),
    }),
  };
  return workspace;
}

function seedOf({ agentName, secrets }: SlackWorkspaceOptions) {
  const bot = slugOf(agentName);
  return {
    team: { name: seeds.company, domain: seeds.companySlug },
    users: people.map(({ handle, name, email, standing }) => ({
      name: handle,
      real_name: name,
      email,
      is_admin: standing === 'owner',
    })),
    channels: seeds.slackChannels.map((name) => ({ name })),
    oauth_apps: [
      {
        client_id: secrets.appId,
        client_secret: secrets.signingSecret,
        app_id: secrets.appId,
        name: agentName,
        redirect_uris: [],
        bot_name: bot,
        bot_id: secrets.botId,
        bot_user_id: secrets.botUserId,
      },
    ],
    tokens: [
      {
        token: secrets.botToken,
        user_id: secrets.botUserId,
        app_id: secrets.appId,
        bot_id: secrets.botId,
        bot_user_id: secrets.botUserId,
        type: 'bot',
      },
      ...people.map(({ id, handle }) => ({
        token: secrets.personTokens[id] ?? '',
        user: handle,
        type: 'user',
      })),
    ],
  };
}

/** Everyone in every channel, and none of what the emulator brings for its own examples. */
function furnish(emulator: Emulator, tables: SlackTables): void {
  for (const user of tables.users()) if (user.name === 'admin') emulator.table('users').delete(user.id);
  for (const row of emulator.table('incoming_webhooks').all())
    emulator.table('incoming_webhooks').delete(row.id);
  const members = tables.users().map((user) => user.user_id);
  for (const channel of tables.channels()) {
    const wanted = (seeds.slackChannels as readonly string[]).includes(channel.name);
    if (!wanted) emulator.table('channels').delete(channel.id);
    else {
      emulator
        .table('channels')
        .update(channel.id, { members, num_members: members.length, creator: members[0] });
    }
  }
}

/** Sends what Slack would send of an event of the workspace, if the app may see the channel. */
async function tell(
  workspace: SlackWorkspace,
  options: SlackWorkspaceOptions,
  { identity, sender }: Pick<SlackApp, 'identity' | 'sender'>,
  event: Record<string, unknown>,
): Promise<void> {
  const { tables } = workspace;
  const item = event.item as { channel?: string; ts?: string } | undefined;
  const channel = tables.channel(event.channel ?? item?.channel);
  if (!channel?.members.includes(identity.botUserId)) return;
  const send = (inner: Record<string, unknown>) => {
    const whole = envelope(identity, inner, options.clock.now());
    return sender.send(String(inner.type), whole, whole.event_id);
  };
  if (event.type !== 'message') {
    if (!subscribed.includes(String(event.type))) return;
    const about = item?.ts ? tables.message(item.channel, item.ts) : undefined;
    await send({
      ...event,
      event_ts: event.event_ts ?? tsOf(options.clock),
      ...(about ? { item_user: about.user } : {}),
    });
    return;
  }
  const channelType = channelTypeOf(channel);
  if (event.subtype !== undefined) {
    await send({ ...event, channel_type: channelType, event_ts: event.event_ts ?? event.ts });
    return;
  }
  const events = messageEvents(identity, posted(workspace, event), channelType);
  const inOrder =
    options.twinOrder === 'message_first'
      ? [events.message, events.mention]
      : [events.mention, events.message];
  for (const inner of inOrder) {
    if (!inner) continue;
    const sent = send(inner);
    if (options.twinOrder !== 'together') await sent;
  }
}

/** A new message as its event tells of it; a bot's also gets its bot and app ids in the emulator's own row. */
function posted(
  { tables, statuses, identity }: SlackWorkspace,
  event: Record<string, unknown>,
): Record<string, unknown> & { text: string } {
  const row = tables.message(event.channel, event.ts);
  const bot = tables.botOf(String(event.user));
  if (row && bot) tables.rows('messages').update(row.id, { bot_id: bot.bot_id, app_id: bot.app_id });
  if (bot) statuses.set(String(event.channel), String(event.thread_ts ?? event.ts), '', 0);
  const parent = event.thread_ts ? tables.message(event.channel, event.thread_ts) : undefined;
  return {
    ...event,
    text: String(event.text ?? ''),
    team: identity.teamId,
    event_ts: event.ts,
    ...(parent ? { parent_user_id: parent.user } : {}),
    ...(bot
      ? {
          bot_id: bot.bot_id,
          app_id: bot.app_id,
          bot_profile: {
            id: bot.bot_id,
            app_id: bot.app_id,
            name: bot.name,
            team_id: identity.teamId,
            deleted: false,
          },
        }
      : { client_msg_id: randomUUID() }),
  };
}

function tsOf(clock: Clock): string {
  return (clock.now() / 1000).toFixed(6);
}
