import type { InstallationIdentity } from '../../../src/store/schema.ts';

export const identity: InstallationIdentity = {
  workspaceId: 'T1',
  workspaceName: 'Acme',
  appId: 'A1',
  userId: 'UBOT',
  botId: 'BBOT',
  handle: 'ada',
};

export const envelope = (event: Record<string, unknown>, more: Record<string, unknown> = {}) => ({
  token: 'old',
  team_id: 'T1',
  api_app_id: 'A1',
  type: 'event_callback',
  event_id: 'Ev0001',
  event_time: 1_763_640_000,
  authorizations: [{ enterprise_id: null, team_id: 'T1', user_id: 'UBOT', is_bot: true }],
  is_ext_shared_channel: false,
  event,
  ...more,
});

export const mention = (more: Record<string, unknown> = {}) => ({
  type: 'app_mention',
  user: 'U1',
  text: '<@UBOT> run the tests',
  ts: '1763640000.000100',
  channel: 'C1',
  event_ts: '1763640000.000100',
  ...more,
});

export const message = (more: Record<string, unknown> = {}) => ({
  ...mention(),
  type: 'message',
  channel_type: 'channel',
  client_msg_id: 'c6b4',
  blocks: [{ type: 'rich_text', elements: [] }],
  ...more,
});

export const reply = (more: Record<string, unknown> = {}) =>
  message({ text: 'and the linter', ts: '1763640009.000200', thread_ts: '1763640000.000100', ...more });

/** One of each kind that Slack sends. */
export const events: Record<string, unknown>[] = [
  mention(),
  message(),
  reply(),
  message({ channel_type: 'im', channel: 'D1', text: 'hello' }),
  message({ subtype: 'file_share', files: [{ id: 'F1', name: 'a.pdf', mimetype: 'application/pdf' }] }),
  { type: 'message', subtype: 'message_changed', hidden: true, channel: 'C1', ts: '2.1', message: message() },
  { type: 'message', subtype: 'message_deleted', hidden: true, channel: 'C1', ts: '2.2', deleted_ts: '1.1' },
  {
    type: 'reaction_added',
    user: 'U1',
    reaction: 'eyes',
    item: { type: 'message', channel: 'C1', ts: '1.1' },
  },
  { type: 'agent_session_stopped', channel: 'C1', user: 'U1', thread_ts: '1.1', streaming_message_ts: [] },
  { type: 'app_uninstalled' },
  { type: 'tokens_revoked', tokens: { bot: ['UBOT'] } },
];
