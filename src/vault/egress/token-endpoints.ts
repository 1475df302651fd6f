import type { ProviderName } from '../../store/schema.ts';
import { leadsTo, loosePath } from '../token-endpoint.ts';
import type { ReadVaultCredential } from '../vault-credential.ts';
import { type Refusal, refuse } from './refusal.ts';

/**
 * Where GitHub gives out tokens of an App: of its installations, of its users, and all of its secrets when it is made
 * (docs.github.com, "REST API endpoints for GitHub Apps", "… for OAuth authorizations", and "Generating a user access
 * token for a GitHub App"). Those of Slack and Linear stand on hosts that are reached by the tools only.
 */
const appEndpoints: Readonly<Partial<Record<ProviderName, readonly { host: string; path: RegExp }[]>>> = {
  github: [
    { host: 'api.github.com', path: /^(?:\/app)?\/installations\/[^/]+\/access_tokens(?:[/.]|$)/ },
    { host: 'api.github.com', path: /^\/applications\/[^/]+\/token(?:[/.]|$)/ },
    { host: 'api.github.com', path: /^\/app-manifests\/[^/]+\/conversions(?:[/.]|$)/ },
    { host: 'github.com', path: /^\/login\/oauth\/access_token(?:[/.]|$)/ },
  ],
};

/** Whose token endpoints a session must not ask itself. */
export interface TokenHolder {
  credentials: readonly ReadVaultCredential[];
  publication: { provider: ProviderName } | null;
}

/**
 * Says no to a request of a session to where tokens of its own credentials are given out: only the egress process asks
 * there, so that no answer with a token comes into a sandbox. `host` is canonical, `path` as sent; on every port, and
 * for every spelling that a server may take for that path. Pure.
 */
export function tokenEndpointRefusal(
  { credentials, publication }: TokenHolder,
  host: string,
  path: string,
): Refusal | undefined {
  const given = credentials.filter(({ tokenEndpoint }) => tokenEndpoint?.host === host);
  const own = publication ? appEndpoints[publication.provider]?.filter((each) => each.host === host) : [];
  if (given.length === 0 && !own?.length) return undefined;
  const asked = loosePath(path);
  const credential = given.find(({ tokenEndpoint }) => tokenEndpoint && leadsTo(tokenEndpoint, asked));
  if (!credential && !own?.some((each) => each.path.test(asked))) return undefined;
  const whose = credential ? `the credential ${credential.displayName}` : "this agent's own app";
  return refuse(
    'credential.token_endpoint',
    `${host} gives out the tokens of ${whose} at this path, so no sandbox asks there. Send the request for which the token is: it is put on outside, and renewed there when it ends.`,
  );
}

/** The same for a tunnel in which no path can be read. */
export function opaqueTokenRefusal(
  credentials: readonly ReadVaultCredential[],
  host: string,
): Refusal | undefined {
  const credential = credentials.find(({ tokenEndpoint }) => tokenEndpoint?.host === host);
  return (
    credential &&
    refuse(
      'credential.token_endpoint',
      `${host} gives out the tokens of the credential ${credential.displayName}, so it is not passed through unread. An admin can take it off passthrough_hosts, or that credential out of the session's vaults.`,
    )
  );
}
