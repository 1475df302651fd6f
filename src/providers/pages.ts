import type { ProviderName } from '../store/schema.ts';
import type { ProviderPages } from './publish-flow.ts';

/** Where a provider sends browsers back that does so without a code: GitHub's "setup URL". */
export const bareReturnPath = '/github/setup';

/** The origins of the providers' own pages. */
export const vendorPages: Readonly<Record<ProviderName, ProviderPages>> = {
  slack: { apps: 'https://api.slack.com', web: 'https://slack.com' },
  github: { apps: 'https://github.com', web: 'https://github.com' },
  linear: { apps: 'https://linear.app', web: 'https://linear.app' },
};

/**
 * The pages that belong to an operator's own API addresses: of a GitHub Enterprise Server those of its host, elsewhere
 * the vendor's. Pure.
 */
export function realPages(githubApiUrl: string | undefined): Readonly<Record<ProviderName, ProviderPages>> {
  if (githubApiUrl === undefined) return vendorPages;
  const { origin, hostname } = new URL(githubApiUrl);
  if (hostname === 'api.github.com') return vendorPages;
  return { ...vendorPages, github: { apps: origin, web: origin } };
}
