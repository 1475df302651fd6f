import { z } from 'zod';
import { ProviderError } from '../provider.ts';
import type { AppCredentials, FlowContext, PublishFlow } from '../publish-flow.ts';
import { expiryDetail, formField, postForm, typedSecret } from '../publish-form.ts';
import { manifest } from './manifest.ts';

const where = 'on the app\'s "Basic Information" page, under "App Credentials"';
const appSchema = z.strictObject({
  client_id: z
    .string({ error: `client_id is missing: it is ${where}` })
    .trim()
    .regex(/^[\w.-]{1,100}$/, 'client_id has the form 1234567890.1234567890'),
  client_secret: typedSecret('client_secret', where),
  signing_secret: typedSecret('signing_secret', where),
});

const answerSchema = z.looseObject({
  ok: z.boolean(),
  error: z.string().optional(),
  access_token: z.string().optional(),
  refresh_token: z.string().optional(),
  expires_in: z.number().optional(),
  scope: z.string().optional(),
});

/** What Slack says of a token that is gone already. */
const gone = new Set([
  'invalid_auth',
  'token_revoked',
  'account_inactive',
  'not_authed',
  'token_expired',
  'no_permission',
]);

function splitApp(typed: unknown): AppCredentials {
  const { client_id, client_secret, signing_secret } = appSchema.parse(typed);
  return {
    webhookSecret: signing_secret,
    credential: { kind: 'slack_client', secret: { client_id, client_secret }, detail: { client_id } },
    setup: { clientId: client_id },
  };
}

/**
 * Slack: the manifest travels in a link, the app's credentials come back by hand, the token by OAuth v2. Without PKCE:
 * turning it on makes an app a public client for good, which a server that keeps the client's secret is not
 * (docs.slack.dev, "Using PKCE").
 */
export const publishFlow: PublishFlow = {
  firstWords: 'Invite it to a channel and mention it by its name.',
  manifest,
  create(input, { pages }) {
    const url = new URL('/apps', pages.apps);
    url.searchParams.set('new_app', '1');
    url.searchParams.set('manifest_json', JSON.stringify(manifest(input)));
    return { method: 'get', url: url.href, fields: {} };
  },
  appFields: [
    formField('client_id', 'Client ID', 'Basic Information → App Credentials', false),
    formField('client_secret', 'Client Secret', 'Basic Information → App Credentials → Show'),
    formField('signing_secret', 'Signing Secret', 'Basic Information → App Credentials → Show'),
  ],
  splitApp,
  installUrl({ setup, pages, redirectUrl, scopes, state }) {
    if (!setup.clientId) throw new ProviderError('refused', 'The Slack app has no client id yet.');
    const url = new URL('/oauth/v2/authorize', pages.web);
    url.searchParams.set('client_id', setup.clientId);
    url.searchParams.set('scope', scopes.join(','));
    url.searchParams.set('redirect_uri', redirectUrl);
    url.searchParams.set('state', state);
    return url.href;
  },
  async exchange(context, { code, redirectUrl }) {
    const answer = await postForm(context, 'https://slack.com/api/oauth.v2.access', answerSchema, {
      code,
      redirect_uri: redirectUrl,
    });
    if (!answer.ok || !answer.access_token) {
      throw new ProviderError('refused', `Slack refused the code: ${answer.error ?? 'no token came'}.`);
    }
    return {
      kind: 'slack_bot',
      secret: {
        token: answer.access_token,
        ...(answer.refresh_token ? { refresh_token: answer.refresh_token } : {}),
      },
      detail: {
        ...(answer.scope ? { scope: answer.scope } : {}),
        ...expiryDetail(context, answer.expires_in),
      },
    };
  },
  // `auth.revoke` alone would leave the app in the workspace, and on a rotating token even its other token alive.
  async revoke(context) {
    if (await uninstalled(context)) return;
    const answer = await postForm(context, 'https://slack.com/api/auth.revoke', answerSchema, {});
    if (!answer.ok && !gone.has(answer.error ?? '')) {
      throw new ProviderError('refused', `Slack did not revoke the token: ${answer.error}.`);
    }
  },
};

/** Whether Slack took the app out of the workspace. It will not where the client's secret is not known here, or is wrong. */
async function uninstalled(context: FlowContext): Promise<boolean> {
  try {
    const answer = await postForm(context, 'https://slack.com/api/apps.uninstall', answerSchema, {});
    return answer.ok || answer.error === 'token_revoked' || answer.error === 'account_inactive';
  } catch (error) {
    if (error instanceof ProviderError) return false;
    throw error;
  }
}
