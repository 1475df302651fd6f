import { WebClient } from '@slack/web-api';
import { describe, expect, it } from 'vitest';
import type { Workplace } from '../../src/workplace/workplace.ts';
import { openWorkplace } from './support/open-workplace.ts';

function clientOf(workplace: Workplace, token = workplace.credentials.slack.bot_token): WebClient {
  return new WebClient(token, { slackApiUrl: workplace.upstreams.slackApiUrl, retryConfig: { retries: 0 } });
}

describe('the emulated Slack, driven by @slack/web-api', () => {
  it('says who the bot is', async () => {
    const { workplace } = await openWorkplace();
    const answer = await clientOf(workplace).auth.test();
    expect(answer).toMatchObject({
      ok: true,
      user_id: workplace.slack.identity.botUserId,
      team_id: workplace.slack.identity.teamId,
      app_id: workplace.slack.identity.appId,
      bot_id: expect.stringMatching(/^B/),
    });
  });

  it('refuses an unknown token, a missing one and an unknown method as Slack does', async () => {
    const { workplace } = await openWorkplace();
    await expect(clientOf(workplace, 'xoxb-forged').auth.test()).rejects.toThrow('invalid_auth');
    const bare = await fetch(`${workplace.upstreams.slackApiUrl}auth.test`, { method: 'POST' });
    expect(await bare.json()).toEqual({ ok: false, error: 'not_authed' });
    await expect(clientOf(workplace).apiCall('no.such.method')).rejects.toThrow('unknown_method');
  });

  it('keeps the metadata of a reply and gives it back only when asked', async () => {
    const { workplace } = await openWorkplace();
    const slack = clientOf(workplace);
    const { channel, ts } = await workplace.persons.postSlackMessage({
      personId: 'maya',
      channel: 'general',
      text: 'hello',
    });
    const metadata = { event_type: 'tagalong_reply', event_payload: { mark: 'out_1' } };
    const posted = await slack.chat.postMessage({ channel, thread_ts: ts, text: 'hi', metadata });
    expect(posted.message).toMatchObject({
      bot_id: expect.any(String),
      app_id: workplace.slack.identity.appId,
    });

    const plain = await slack.conversations.replies({ channel, ts });
    expect(plain.messages?.[1]).not.toHaveProperty('metadata');
    const whole = await slack.conversations.replies({ channel, ts, include_all_metadata: true });
    expect(whole.messages).toHaveLength(2);
    expect(whole.messages?.[0]).toMatchObject({ ts, thread_ts: ts, reply_count: 1 });
    expect(whole.messages?.[1]).toMatchObject({
      text: 'hi',
      metadata,
      bot_id: expect.any(String),
      bot_profile: { app_id: workplace.slack.identity.appId },
    });
    const history = await slack.conversations.history({ channel, latest: ts, inclusive: true, limit: 1 });
    expect(history.messages?.map((message) => message.ts)).toEqual([ts]);
  });

  it('gives a long thread in pages, the parent first on each', async () => {
    const { workplace } = await openWorkplace();
    const slack = clientOf(workplace);
    const { channel, ts } = await workplace.persons.postSlackMessage({
      personId: 'maya',
      channel: 'general',
      text: 'count',
    });
    for (let n = 1; n <= 5; n++) await slack.chat.postMessage({ channel, thread_ts: ts, text: String(n) });
    const texts: string[] = [];
    for await (const page of slack.paginate('conversations.replies', { channel, ts, limit: 3 })) {
      const messages = (page as unknown as { messages: { ts: string; text: string }[] }).messages;
      expect(messages[0]?.ts).toBe(ts);
      texts.push(...messages.slice(1).map(({ text }) => text));
    }
    expect(texts).toEqual(['1', '2', '3', '4', '5']);
    await expect(slack.conversations.replies({ channel, ts: '1.000001' })).rejects.toThrow(
      'thread_not_found',
    );
  });

  it('tells guests, members and bots apart', async () => {
    const { workplace } = await openWorkplace();
    const slack = clientOf(workplace);
    const { members = [] } = await slack.users.list({});
    const flags = Object.fromEntries(
      members.map((one) => [one.name, [one.is_ultra_restricted, one.is_restricted, one.is_bot]]),
    );
    expect(flags).toEqual({
      maya: [false, false, false],
      jonas: [false, false, false],
      gia: [true, true, false],
      cleo: [false, false, false],
      tagalong: [false, false, true],
    });
    const gia = members.find(({ name }) => name === 'gia');
    const info = await slack.users.info({ user: gia?.id ?? '' });
    expect(info.user).toMatchObject({ is_restricted: true, team_id: workplace.slack.identity.teamId });
    const cleo = members.find(({ name }) => name === 'cleo');
    const partner = await slack.users.info({ user: cleo?.id ?? '' });
    expect(partner.user).toMatchObject({ is_stranger: true });
    expect(partner.user?.team_id).not.toBe(workplace.slack.identity.teamId);
  });

  it("shows a thread's status until the bot posts, it is emptied, or two minutes pass", async () => {
    const { workplace, clock } = await openWorkplace();
    const slack = clientOf(workplace);
    const { channel, ts } = await workplace.persons.postSlackMessage({
      personId: 'maya',
      channel: 'general',
      text: 'hello',
    });
    const setStatus = (status: string) =>
      slack.assistant.threads.setStatus({ channel_id: channel, thread_ts: ts, status });
    const shown = () => workplace.state().slack.threads[0]?.status;

    await setStatus('is thinking…');
    expect(shown()).toBe('is thinking…');
    await workplace.persons.postSlackMessage({ personId: 'maya', channel, threadTs: ts, text: 'and?' });
    expect(shown()).toBe('is thinking…');
    await slack.chat.postMessage({ channel, thread_ts: ts, text: 'done' });
    expect(shown()).toBeUndefined();
    await setStatus('is thinking…');
    await setStatus('');
    expect(shown()).toBeUndefined();
    await setStatus('is thinking…');
    await clock.advance(120_001);
    expect(shown()).toBeUndefined();
    await expect(
      slack.assistant.threads.setStatus({ channel_id: 'C0NONE', thread_ts: ts, status: 'x' }),
    ).rejects.toThrow('channel_not_found');
  });

  it('does not let a poster claim to be a bot, and answers a second reaction of the same kind', async () => {
    const { workplace } = await openWorkplace();
    const slack = clientOf(workplace);
    const token = workplace.persons.slackToken('guest');
    const posted = await clientOf(workplace, token).chat.postMessage({
      channel: 'general',
      text: 'I am a bot',
      ...({ bot_id: 'B1', app_id: 'A1' } as object),
    });
    const ts = String(posted.ts);
    const channel = String(posted.channel);
    const history = await slack.conversations.history({ channel });
    expect(history.messages?.[0]).not.toHaveProperty('bot_id');
    await slack.reactions.add({ channel, timestamp: ts, name: 'eyes' });
    await expect(slack.reactions.add({ channel, timestamp: ts, name: 'eyes' })).rejects.toThrow(
      'already_reacted',
    );
    expect(workplace.state().slack.threads[0]?.messages[0]?.reactions).toEqual([{ name: 'eyes', count: 1 }]);
  });

  it('refuses a body above 4 MiB', async () => {
    const { workplace } = await openWorkplace();
    const response = await fetch(`${workplace.upstreams.slackApiUrl}chat.postMessage`, {
      method: 'POST',
      headers: { authorization: `Bearer ${workplace.credentials.slack.bot_token}` },
      body: new URLSearchParams({ channel: 'general', text: 'x'.repeat(5 * 1024 * 1024) }),
    });
    expect(response.status).toBe(413);
  });
});
