import type { CredentialKind } from '../../store/schema.ts';

/** Where each kind of credential may be sent. Nowhere else, whoever asks. */
export const credentialHosts: Readonly<Record<CredentialKind, readonly string[]>> = {
  slack_bot: ['slack.com', 'files.slack.com'],
  slack_user: [],
  github_app: ['api.github.com'],
  linear_app: ['api.linear.app'],
  static_bearer: [],
  header: [],
  basic: [],
  query: [],
  mcp_oauth: [],
  environment_variable: [],
  slack_client: ['slack.com'],
  linear_client: ['api.linear.app'],
};

/** The calls that want the client's secret, and the one that wants nothing: its code is the secret. */
export const clientPaths: Readonly<Record<string, readonly string[]>> = {
  'slack.com': ['/api/oauth.v2.access'],
  'api.linear.app': ['/oauth/token'],
};
/** Slack's `apps.uninstall` wants the client's secret and the token. */
export const uninstallPath = '/api/apps.uninstall';
/** Anybody may read a bot's user; before an App is installed there is no token to ask with. */
export const botPath = /^\/users\/[\w-]{1,100}(\[bot\]|%5[Bb]bot%5[Dd])$/;
export const conversionPath = /^\/app-manifests\/[\w-]{1,200}\/conversions$/;
