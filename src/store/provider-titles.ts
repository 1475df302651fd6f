import type { ProviderName } from './schema.ts';

/** The providers as they call themselves. */
export const providerTitles: Readonly<Record<ProviderName, string>> = {
  slack: 'Slack',
  github: 'GitHub',
  linear: 'Linear',
};
