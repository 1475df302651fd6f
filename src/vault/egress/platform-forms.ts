import type { OpenCredential } from '../credential-store.ts';
import type { EgressParts } from './parts.ts';
import { uninstallPath } from './platform-rules.ts';

/**
 * What is put into a form's fields instead of a header: a client's id and secret, the token that is revoked, or both
 * where Slack takes an app out of a workspace. Undefined for every other call. Rejects with a CredentialError or a
 * TokenError where a part of it is missing.
 */
export async function formSecrets(
  { credentials }: Pick<EgressParts, 'credentials'>,
  credential: OpenCredential,
  path: string,
  token: () => Promise<string>,
): Promise<Record<string, string> | undefined> {
  const { kind, secret, organizationId, publicationId } = credential;
  if (kind === 'slack_client' || kind === 'linear_client') return clientFields(secret);
  if (kind === 'linear_app' && path === '/oauth/revoke') return { token: secret.access_token ?? '' };
  if (kind !== 'slack_bot' || path !== uninstallPath) return undefined;
  const client = await credentials.find(organizationId, publicationId, 'client');
  return { ...clientFields(client.secret), token: await token() };
}

function clientFields(secret: OpenCredential['secret']): Record<string, string> {
  return { client_id: secret.client_id ?? '', client_secret: secret.client_secret ?? '' };
}
