import type { ProviderAdapter } from '../provider.ts';
import { createMayAddress } from './authority.ts';
import { splitCredentials, whoAmI } from './install.ts';
import { githubPlaces } from './places.ts';
import { presence } from './presence.ts';
import { publishFlow } from './publish.ts';
import { requestNeed } from './requests.ts';
import { signals } from './signals.ts';
import { githubTools } from './tools.ts';
import { webhook } from './verify.ts';

/** GitHub, whole. `now` (milliseconds) is the clock of its memory of who may write. */
export function createGithubAdapter(now: () => number = Date.now): ProviderAdapter {
  return {
    name: 'github',
    apiHosts: ['api.github.com'],
    webhook,
    signals,
    mayAddress: createMayAddress(now),
    ...githubPlaces(now),
    placeNames: ({ owner, repo }) => (owner && repo ? [`${owner}/${repo}`, `${owner}/*`, owner] : []),
    splitCredentials,
    whoAmI,
    publishFlow,
    presence,
    tools: githubTools,
    requestNeed,
  };
}
