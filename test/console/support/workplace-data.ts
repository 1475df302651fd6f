import type { Agent, WorkplaceState } from '../../../console/src/workplace-api.ts';

export const agent: Agent = {
  name: 'Ada',
  slackHandle: '@Ada',
  githubHandle: '@ada',
  linearHandle: '@ada',
  label: 'agent',
};

/** A workplace on its first day. */
export function emptyWorkplace(): WorkplaceState {
  return {
    people: [
      { id: 'maya', name: 'Maya Lindqvist', avatarInitials: 'ML', isGuest: false },
      { id: 'jonas', name: 'Jonas Weber', avatarInitials: 'JW', isGuest: false },
      { id: 'guest', name: 'Gia Rossi', avatarInitials: 'GR', isGuest: true },
    ],
    slack: {
      channels: [
        { id: 'C1', name: 'general' },
        { id: 'C2', name: 'support' },
      ],
      threads: [],
    },
    github: { repositories: [{ owner: 'acme', name: 'widgets' }], issues: [] },
    linear: { issues: [] },
    agent,
    model: { offline: true },
  };
}

/** A workplace in use: answered, working and waiting things in each tool. */
export function busyWorkplace(nowMs: number): WorkplaceState {
  const ada = { name: 'Ada', isBot: true };
  const adaApp = { name: 'ada[bot]', isBot: true };
  const maya = { name: 'Maya Lindqvist', isBot: false };
  const jonas = { name: 'Jonas Weber', isBot: false };
  const ts = (secondsAgo: number) => `${Math.floor(nowMs / 1000) - secondsAgo}.000100`;
  const iso = (secondsAgo: number) => new Date(nowMs - secondsAgo * 1000).toISOString();
  const state = emptyWorkplace();
  state.slack.threads = [
    {
      channel: 'C1',
      threadTs: ts(240),
      messages: [
        {
          ts: ts(240),
          author: maya,
          text: '@Ada run `uname -a` and tell me what it says',
          reactions: [{ name: 'white_check_mark', count: 1 }],
        },
        {
          ts: ts(236),
          author: ada,
          text: 'It is a 64-bit Linux:\n```\nLinux sandbox 6.1.0 #1 SMP x86_64 GNU/Linux\n```\nThe kernel is *6.1*.',
          reactions: [],
        },
      ],
    },
    {
      channel: 'C1',
      threadTs: ts(20),
      status: 'is working…',
      messages: [
        {
          ts: ts(20),
          author: jonas,
          text: '@Ada how many files are in your workspace?',
          reactions: [{ name: 'eyes', count: 1 }],
        },
      ],
    },
  ];
  state.github.issues = [
    {
      owner: 'acme',
      repo: 'widgets',
      number: 1,
      title: 'Which system do our builds run on?',
      body: 'Run `uname -a` and tell me what it says.',
      author: maya,
      labels: ['agent', 'question'],
      reactions: [{ name: 'eyes', count: 1 }],
      comments: [
        { id: 1, author: adaApp, body: 'On **Linux 6.1**, as `uname -a` says.', reactions: [] },
        {
          id: 2,
          author: jonas,
          body: 'Thanks! That is what I needed.',
          reactions: [{ name: '+1', count: 2 }],
        },
      ],
    },
    {
      owner: 'acme',
      repo: 'widgets',
      number: 2,
      title: 'Widgets arrive without their screws',
      body: '',
      author: jonas,
      labels: [],
      reactions: [],
      comments: [],
    },
  ];
  state.linear.issues = [
    {
      id: 'issue-1',
      identifier: 'ENG-1',
      title: 'How much disk space is left?',
      description: 'Run `df -h /tmp` and say how much is free.',
      delegate: 'Ada',
      state: 'In Progress',
      comments: [],
      sessions: [
        {
          id: 'session-1',
          status: 'active',
          unresponsive: false,
          activities: [
            { id: 'a1', type: 'thought', body: 'I look at the issue.', author: ada, createdAt: iso(30) },
            { id: 'a2', type: 'action', body: 'bash `df -h /tmp`', author: ada, createdAt: iso(28) },
            {
              id: 'a3',
              type: 'response',
              body: 'There are **12 GB** free.',
              author: ada,
              createdAt: iso(25),
            },
            { id: 'a4', type: 'prompt', body: 'And in the workspace?', author: maya, createdAt: iso(6) },
            { id: 'a5', type: 'thought', body: 'I look there too.', author: ada, createdAt: iso(5) },
          ],
        },
      ],
    },
  ];
  return state;
}
