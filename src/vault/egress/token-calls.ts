import type { Mint, Revoke } from '../github-app.ts';
import type { KnownSecrets } from '../known-secrets.ts';
import type { PostForm } from '../rotating-tokens.ts';
import type { AskTokenEndpoint } from '../vault-tokens.ts';
import type { PlatformPools } from './platform-pools.ts';

/** The calls that get tokens, and the one that gives them back. */
export interface TokenCalls {
  mint: Mint;
  refresh: PostForm;
  askTokenEndpoint: AskTokenEndpoint;
  revoke: Revoke;
}

/** Each over the platform's connections; what comes of it is from then on among the secrets that are looked for. */
export function rememberingTokens(pools: PlatformPools, secrets: KnownSecrets): TokenCalls {
  const remember = (organizationId: string, name: string, body: unknown) => {
    const answer = (body ?? {}) as Record<string, unknown>;
    for (const field of ['token', 'access_token', 'refresh_token']) {
      secrets.remember(organizationId, name, answer[field]);
    }
  };
  return {
    async mint(credential, ...call) {
      const answer = await pools.mint(credential, ...call);
      remember(credential.organizationId, `a token of ${credential.displayName}`, answer.body);
      return answer;
    },
    async refresh(credential, ...call) {
      const answer = await pools.refresh(credential, ...call);
      remember(credential.organizationId, credential.displayName, answer.body);
      return answer;
    },
    async askTokenEndpoint(organizationId, ...call) {
      const answer = await pools.askTokenEndpoint(organizationId, ...call);
      remember(organizationId, 'an access token', answer.body);
      return answer;
    },
    revoke: (...call) => pools.revoke(...call),
  };
}
