import { verifySlackRequest } from '@slack/bolt';
import { WebClient } from '@slack/web-api';
import { describe, expect, it } from 'vitest';
import { settled } from './support/manual-clock.ts';
import { openWorkplace, webhookUrls } from './support/open-workplace.ts';
import type { Received } from './support/receiver.ts';

const eventOf = (received: Received | undefined) => received?.json.event as Record<string, unknown>;
const types = (all: Received[]) => all.map((one) => eventOf(one).type);
const mention = { personId: 'maya', channel: 'general', text: '@tagalong please help' } as const;

describe('the events that the emulated Slack sends', () => {
  it('tells of a mention in two deliveries that Bolt holds genuine', async () => {
    const { workplace, receiver } = await openWorkplace();
    const { ts } = await workplace.persons.postSlackMessage(mention);
    await settled();
    expect(types(receiver.received).sort()).toEqual(['app_mention', 'message']);
    expect(new Set(receiver.received.map(({ json }) => json.event_id)).size).toBe(2);
    const { botUserId, teamId, appId } = workplace.slack.identity;
    for (const one of receiver.received) {
      expect(one.url).toBe(webhookUrls.slack);
      verifySlackRequest({
        signingSecret: workplace.credentials.slack.signing_secret,
        body: one.body,
        headers: {
          'x-slack-signature': one.headers['x-slack-signature'] ?? '',
          'x-slack-request-timestamp': Number(one.headers['x-slack-request-timestamp']),
        },
      });
      expect(one.json).toMatchObject({ type: 'event_callback', team_id: teamId, api_app_id: appId });
      expect(eventOf(one)).toMatchObject({ ts, text: `<@${botUserId}> please help`, channel: 'C000000001' });
    }
    const app = receiver.received.find((one) => eventOf(one).type === 'app_mention');
    expect(eventOf(app)).not.toHaveProperty('channel_type');
    const message = receiver.received.find((one) => eventOf(one).type === 'message');
    expect(eventOf(message)).toMatchObject({ channel_type: 'channel', client_msg_id: expect.any(String) });
  });

  it.each([
    ['mention_first', ['app_mention', 'message']],
    ['message_first', ['message', 'app_mention']],
  ] as const)('sends the twins one after the other: %s', async (twinOrder, order) => {
    const { workplace, clock, receiver } = await openWorkplace({ twinOrder });
    receiver.answerWith('silent');
    await workplace.persons.postSlackMessage(mention);
    await settled();
    expect(types(receiver.received)).toEqual(order.slice(0, 1));
    await clock.advance(3_000);
    // The first was not answered in time: its retry and the other twin are on their way.
    expect(types(receiver.received)).toContain(order[1]);
  });

  it('retries at once, after 1 min and after 5 min with the same event and a fresh signature, then gives up', async () => {
    const { workplace, clock, receiver } = await openWorkplace();
    receiver.answerWith(500, 'refused', 'silent', 503);
    await workplace.persons.postSlackMessage({ ...mention, text: 'no mention' });
    await settled();
    await clock.advance(0);
    expect(receiver.received).toHaveLength(2);
    await clock.advance(59_999);
    expect(receiver.received).toHaveLength(2);
    await clock.advance(1);
    expect(receiver.received).toHaveLength(3);
    await clock.advance(3_000 + 299_999);
    expect(receiver.received).toHaveLength(3);
    await clock.advance(1);
    expect(receiver.received).toHaveLength(4);
    await clock.advance(24 * 3_600_000);
    expect(receiver.received).toHaveLength(4);

    const retries = receiver.received.map(({ headers }) => [
      headers['x-slack-retry-num'],
      headers['x-slack-retry-reason'],
    ]);
    expect(retries).toEqual([
      [undefined, undefined],
      ['1', 'http_error'],
      ['2', 'connection_failed'],
      ['3', 'http_timeout'],
    ]);
    expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1);
    expect(new Set(receiver.received.map(({ headers }) => headers['x-slack-request-timestamp'])).size).toBe(
      3,
    );
    expect(workplace.slack.sender.state().pending).toEqual([]);
  });

  it('does not retry what the receiver declines', async () => {
    const { workplace, clock, receiver } = await openWorkplace();
    receiver.answerWith(new Response(null, { status: 500, headers: { 'x-slack-no-retry': '1' } }));
    await workplace.persons.postSlackMessage({ ...mention, text: 'no mention' });
    await clock.advance(24 * 3_600_000);
    expect(receiver.received).toHaveLength(1);
  });

  it('goes on with a retry after a restart', async () => {
    const { workplace, clock, receiver, start } = await openWorkplace();
    receiver.answerWith(500, 500);
    await workplace.persons.postSlackMessage({ ...mention, text: 'no mention' });
    await clock.advance(0);
    expect(receiver.received).toHaveLength(2);
    await workplace.close();
    await clock.advance(60_000);
    expect(receiver.received).toHaveLength(2);
    await start();
    await clock.advance(0);
    expect(receiver.received).toHaveLength(3);
    expect(receiver.received[2]?.body).toBe(receiver.received[0]?.body);
    expect(receiver.received[2]?.headers['x-slack-retry-num']).toBe('2');
  });

  it('tells of a direct message once, as im, and of a reply with its thread', async () => {
    const { workplace, receiver } = await openWorkplace();
    const dm = await workplace.persons.postSlackMessage({ ...mention, channel: '@tagalong' });
    await settled();
    expect(types(receiver.received)).toEqual(['message']);
    expect(eventOf(receiver.received[0])).toMatchObject({ channel: dm.channel, channel_type: 'im' });

    const root = await workplace.persons.postSlackMessage({ ...mention, text: 'root' });
    await workplace.persons.postSlackMessage({
      ...mention,
      personId: 'jonas',
      text: 'reply',
      threadTs: root.ts,
    });
    await settled();
    const rootUser = eventOf(receiver.received[1]).user;
    expect(eventOf(receiver.received[2])).toMatchObject({ thread_ts: root.ts, parent_user_id: rootUser });
    expect(workplace.state().slack.threads.map(({ messages }) => messages.length)).toEqual([1, 2]);
  });

  it("tells of the bot's own posts, edits and reactions, never as a mention", async () => {
    const { workplace, receiver } = await openWorkplace();
    const slack = new WebClient(workplace.credentials.slack.bot_token, {
      slackApiUrl: workplace.upstreams.slackApiUrl,
    });
    const { botUserId, appId } = workplace.slack.identity;
    const posted = await slack.chat.postMessage({ channel: 'general', text: `I am <@${botUserId}>` });
    await slack.chat.update({ channel: 'C000000001', ts: posted.ts ?? '', text: 'edited' });
    await slack.reactions.add({ channel: 'C000000001', timestamp: posted.ts ?? '', name: 'eyes' });
    await settled();
    expect(types(receiver.received)).toEqual(['message', 'message', 'reaction_added']);
    expect(eventOf(receiver.received[0])).toMatchObject({
      user: botUserId,
      app_id: appId,
      bot_id: expect.any(String),
    });
    expect(eventOf(receiver.received[1])).toMatchObject({ subtype: 'message_changed', hidden: true });
    expect(eventOf(receiver.received[2])).toMatchObject({ item_user: botUserId, reaction: 'eyes' });
  });

  it('escapes what a person types and makes mentions of handles', async () => {
    const { workplace } = await openWorkplace();
    await workplace.persons.postSlackMessage({
      ...mention,
      text: 'a <b> & (@jonas) @nobody me@maya.example @maya.',
    });
    const [row] = workplace.slack.tables.messages();
    const ids = Object.fromEntries(
      workplace.slack.tables.users().map(({ name, user_id }) => [name, user_id]),
    );
    expect(row?.text).toBe(`a &lt;b&gt; &amp; (<@${ids.jonas}>) @nobody me@maya.example <@${ids.maya}>.`);
    expect(workplace.state().slack.threads[0]?.messages[0]?.text).toBe(
      'a <b> & (@jonas) @nobody me@maya.example @maya.',
    );
  });

  it('takes 200 mentions at once on one thread and tells of each in two deliveries', async () => {
    const { workplace, receiver } = await openWorkplace();
    const root = await workplace.persons.postSlackMessage({ ...mention, text: 'root' });
    const posts = Array.from({ length: 200 }, (_, n) =>
      workplace.persons.postSlackMessage({ ...mention, text: `@tagalong ${n}`, threadTs: root.ts }),
    );
    const stamps = new Set((await Promise.all(posts)).map(({ ts }) => ts));
    await settled();
    expect(stamps.size).toBe(200);
    expect(receiver.received).toHaveLength(401);
    expect(new Set(receiver.received.map(({ json }) => json.event_id)).size).toBe(401);
    expect(workplace.state().slack.threads).toMatchObject([{ messages: { length: 201 } }]);
  });

  it('refuses to send to another machine', async () => {
    const { workplace } = await openWorkplace();
    expect(() => workplace.setWebhookUrls({ slack: 'https://gateway.example/webhooks' })).toThrow(
      'this machine only',
    );
  });
});
