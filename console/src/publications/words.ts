import type { Provider } from './api.ts';

export const providerTitles: Record<Provider, string> = {
  slack: 'Slack',
  github: 'GitHub',
  linear: 'Linear',
};

/** A state as people say it, and how it is shown. */
export const stateWords: Record<string, { words: string; tone: 'good' | 'attention' | 'bad' | 'quiet' }> = {
  pending_setup: { words: 'App to be made', tone: 'attention' },
  credentials_filled: { words: 'To be installed', tone: 'attention' },
  awaiting_install: { words: 'Being installed', tone: 'attention' },
  live: { words: 'Live', tone: 'good' },
  needs_reauth: { words: 'Needs to be installed again', tone: 'bad' },
  suspended: { words: 'Suspended', tone: 'bad' },
  unpublished: { words: 'Ended', tone: 'quiet' },
};
