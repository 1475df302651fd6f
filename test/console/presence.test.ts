import { describe, expect, test } from 'vitest';
import { githubPresence, linearPresence, slackPresence, workingIn } from '../../console/src/presence.ts';
import type { GithubIssue, SlackThread } from '../../console/src/workplace-api.ts';
import { agent, busyWorkplace, emptyWorkplace } from './support/workplace-data.ts';

const nowMs = 1_700_000_000_000;
const eyes = [{ name: 'eyes', count: 1 }];
const maya = { name: 'Maya', isBot: false };
const ada = { name: 'Ada', isBot: true };

function thread(...messages: Partial<SlackThread['messages'][number]>[]): SlackThread {
  return {
    channel: 'C1',
    threadTs: '1',
    messages: messages.map((message, index) => ({
      ts: `${nowMs / 1000 - 60 + index}.000100`,
      author: maya,
      text: '',
      reactions: [],
      ...message,
    })),
  };
}

describe('what the agent does in a place', () => {
  test('a mention waits until the agent shows a sign, works, and has answered', () => {
    const asked = thread({ text: 'Hey @ADA, run it' });
    expect(slackPresence(asked, agent, nowMs)).toEqual({ asked: '1699999940.000100', working: undefined });
    expect(slackPresence({ ...asked, status: 'is working…' }, agent, nowMs).working).toBe('is working…');
    const seen = thread({ text: '@Ada run it', reactions: eyes });
    expect(slackPresence(seen, agent, nowMs).working).toBe('is working…');
    const answered = thread({ text: '@Ada run it', reactions: eyes }, { author: ada, text: 'Done' });
    expect(slackPresence(answered, agent, nowMs)).toEqual({ asked: undefined, working: undefined });
  });

  test('talk among people, and what was asked long ago, does not wait', () => {
    expect(slackPresence(thread({ text: 'lunch?' }, { text: 'yes' }), agent, nowMs).asked).toBeUndefined();
    expect(slackPresence(thread({ text: '@Ada run it' }), agent, nowMs + 3_600_000).asked).toBeUndefined();
    expect(slackPresence(thread(), agent, nowMs)).toEqual({ asked: undefined, working: undefined });
  });

  test('a label asks as a mention does, and a comment of the agent answers both', () => {
    const issue: GithubIssue = {
      owner: 'acme',
      repo: 'widgets',
      number: 1,
      title: '',
      body: '',
      author: maya,
      labels: [],
      reactions: [],
      comments: [],
    };
    expect(githubPresence(issue, agent).asked).toBeUndefined();
    const labelled = { ...issue, labels: ['agent'] };
    expect(githubPresence(labelled, agent)).toEqual({ asked: 'issue', working: undefined });
    expect(githubPresence({ ...labelled, reactions: eyes }, agent).working).toBe('is working…');
    const comment = { id: 7, author: maya, body: '@ada please', reactions: [] };
    const answer = { id: 8, author: ada, body: 'Done', reactions: [] };
    expect(githubPresence({ ...issue, comments: [comment] }, agent).asked).toBe('7');
    expect(githubPresence({ ...labelled, comments: [comment, answer] }, agent).asked).toBeUndefined();
  });

  test('a Linear session says it by its status, also one of tomorrow', () => {
    const session = { id: 's', unresponsive: false, activities: [] };
    expect(linearPresence({ ...session, status: 'pending' })).toEqual({ asked: 's', working: undefined });
    expect(linearPresence({ ...session, status: 'active' }).working).toBe('is working…');
    for (const status of ['complete', 'error', 'awaitingInput', 'stale', 'brandNew']) {
      expect(linearPresence({ ...session, status }), status).toEqual({
        asked: undefined,
        working: undefined,
      });
    }
  });

  test('the tools in which it works are named', () => {
    expect(workingIn(emptyWorkplace())).toEqual([]);
    expect(workingIn(busyWorkplace(Date.now()))).toEqual(['Slack', 'Linear']);
  });
});
