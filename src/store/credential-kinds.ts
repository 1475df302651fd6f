import type { CredentialKind } from './schema.ts';

/** An app's own secret, by which codes become tokens; every other kind is a token, or makes one. */
export const clientKinds: readonly CredentialKind[] = ['slack_client', 'linear_client'];

/** What admins call the credentials that a publication has. */
export const credentialNames: Partial<Record<CredentialKind, string>> = {
  slack_bot: 'Slack bot token',
  github_app: 'GitHub App key',
  linear_app: 'Linear app token',
  slack_client: 'Slack client secret',
  linear_client: 'Linear client secret',
};
