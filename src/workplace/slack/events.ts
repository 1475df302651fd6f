import { createHmac, randomBytes } from 'node:crypto';
import type { DeliveryPolicy } from '../deliveries.ts';

/** What Slack knows of the app and the workspace when it tells the app of an event. */
export interface SlackAppIdentity {
  teamId: string;
  appId: string;
  botUserId: string;
}

/** The order in which the two deliveries of one mention leave; with the first two, one after the other was answered. */
export type TwinOrder = 'mention_first' | 'message_first' | 'together';

/** Slack's Events API: any 2xx within 3 s; else at once, after 1 min and after 5 min, under the same event_id. */
export function slackDeliveryPolicy(signingSecret: string): DeliveryPolicy {
  return {
    timeoutMs: 3_000,
    retryDelaysMs: [0, 60_000, 300_000],
    accepts: (status) => status >= 200 && status < 300,
    declines: (headers) => headers.get('x-slack-no-retry') === '1',
    request(delivery, nowMs) {
      const json = JSON.stringify(delivery.payload);
      // Clicks come as a form, everything else as it is.
      const isClick = delivery.event === 'block_actions';
      const body = isClick ? new URLSearchParams({ payload: json }).toString() : json;
      const timestamp = String(Math.floor(nowMs / 1000));
      const signature = createHmac('sha256', signingSecret).update(`v0:${timestamp}:${body}`).digest('hex');
      const headers: Record<string, string> = {
        'content-type': isClick ? 'application/x-www-form-urlencoded' : 'application/json',
        'user-agent': 'Slackbot 1.0 (+https://api.slack.com/robots)',
        'x-slack-request-timestamp': timestamp,
        'x-slack-signature': `v0=${signature}`,
      };
      if (delivery.attempts > 1) {
        headers['x-slack-retry-num'] = String(delivery.attempts - 1);
        headers['x-slack-retry-reason'] = delivery.lastFailure ?? 'unknown_error';
      }
      return { headers, body };
    },
  };
}

/** The envelope around one event (`event_callback`), with an event_id of its own. */
export function envelope(
  identity: SlackAppIdentity,
  event: Record<string, unknown>,
  nowMs: number,
): Record<string, unknown> & { event_id: string } {
  return {
    token: 'deprecated',
    team_id: identity.teamId,
    context_team_id: identity.teamId,
    context_enterprise_id: null,
    api_app_id: identity.appId,
    event,
    type: 'event_callback',
    event_id: `Ev${randomBytes(6).toString('hex').toUpperCase()}`,
    event_time: Math.floor(nowMs / 1000),
    authorizations: [
      {
        enterprise_id: null,
        team_id: identity.teamId,
        user_id: identity.botUserId,
        is_bot: true,
        is_enterprise_install: false,
      },
    ],
    is_ext_shared_channel: false,
    event_context: `4-${randomBytes(12).toString('base64url')}`,
  };
}

/**
 * The events that one new message comes to: `message` always, `app_mention` as well when it names the bot outside of a
 * direct message and is not the bot's own.
 */
export function messageEvents(
  identity: SlackAppIdentity,
  message: Record<string, unknown> & { text: string },
  channelType: 'channel' | 'group' | 'im' | 'mpim',
): { mention?: Record<string, unknown>; message: Record<string, unknown> } {
  const event = { ...message, type: 'message', channel_type: channelType };
  const own = message.user === identity.botUserId;
  if (own || channelType === 'im' || !message.text.includes(`<@${identity.botUserId}>`))
    return { message: event };
  return { mention: { ...message, type: 'app_mention' }, message: event };
}

/** What Slack sends when a person presses a button in a message. */
export function blockActions(
  identity: SlackAppIdentity,
  click: {
    user: { id: string; name: string };
    message: { channel: string; ts: string; threadTs?: string };
    button: { actionId: string; value: string; label: string };
  },
): Record<string, unknown> & { trigger_id: string } {
  const { user, message, button } = click;
  return {
    type: 'block_actions',
    user: { id: user.id, username: user.name, name: user.name, team_id: identity.teamId },
    api_app_id: identity.appId,
    token: 'deprecated',
    container: {
      type: 'message',
      message_ts: message.ts,
      channel_id: message.channel,
      is_ephemeral: false,
      ...(message.threadTs ? { thread_ts: message.threadTs } : {}),
    },
    trigger_id: `${randomBytes(6).toString('hex')}.${randomBytes(12).toString('hex')}`,
    team: { id: identity.teamId, domain: 'workplace' },
    enterprise: null,
    is_enterprise_install: false,
    channel: { id: message.channel, name: 'channel' },
    message: { type: 'message', user: identity.botUserId, ts: message.ts },
    actions: [
      {
        action_id: button.actionId,
        type: 'button',
        text: { type: 'plain_text', text: button.label },
        value: button.value,
        action_ts: message.ts,
      },
    ],
  };
}
