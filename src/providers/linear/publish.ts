import { z } from 'zod';
import { ProviderError } from '../provider.ts';
import type { AppCredentials, PublishFlow } from '../publish-flow.ts';
import { expiryDetail, formField, postForm, typedSecret } from '../publish-form.ts';
import { manifest } from './manifest.ts';

const where = "on the app's page in Linear's settings, under API → OAuth applications";
const appSchema = z.strictObject({
  client_id: z
    .string({ error: `client_id is missing: it is ${where}` })
    .trim()
    .regex(/^[\w-]{8,100}$/, 'client_id is a line of letters, digits and dashes'),
  client_secret: typedSecret('client_secret', where),
  signing_secret: typedSecret('signing_secret', where),
});

const tokenSchema = z.looseObject({
  access_token: z.string().min(1),
  refresh_token: z.string().optional(),
  expires_in: z.number().optional(),
  /** Linear has sent it as a list and as a text, with commas or with spaces. */
  scope: z.union([z.string(), z.array(z.string())]).optional(),
});

function scopeList(scope: string | readonly string[]): string {
  return (typeof scope === 'string' ? scope.split(/[\s,]+/) : scope).join(',');
}

function splitApp(typed: unknown): AppCredentials {
  const { client_id, client_secret, signing_secret } = appSchema.parse(typed);
  return {
    webhookSecret: signing_secret,
    credential: { kind: 'linear_client', secret: { client_id, client_secret }, detail: { client_id } },
    setup: { clientId: client_id },
  };
}

/** Linear: the manifest travels in a link, the app's credentials come back by hand, the token by OAuth with `actor=app`. */
export const publishFlow: PublishFlow = {
  firstWords: 'Delegate an issue to it, or mention it in a comment.',
  manifest,
  create(input, { pages }) {
    const url = new URL('/settings/api/applications/new', pages.apps);
    url.searchParams.set('manifest', JSON.stringify(manifest(input)));
    return { method: 'get', url: url.href, fields: {} };
  },
  appFields: [
    formField('client_id', 'Client ID', "The app's page → OAuth", false),
    formField('client_secret', 'Client secret', "The app's page → OAuth"),
    formField('signing_secret', 'Webhook signing secret', "The app's page → Webhooks"),
  ],
  splitApp,
  installUrl({ setup, pages, redirectUrl, scopes, state, challenge }) {
    if (!setup.clientId) throw new ProviderError('refused', 'The Linear app has no client id yet.');
    const url = new URL('/oauth/authorize', pages.web);
    const parameters = {
      client_id: setup.clientId,
      redirect_uri: redirectUrl,
      response_type: 'code',
      scope: scopes.join(','),
      state,
      actor: 'app',
      prompt: 'consent',
      code_challenge: challenge,
      code_challenge_method: 'S256',
    };
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    return url.href;
  },
  async exchange(context, { code, redirectUrl, verifier }) {
    const answer = await postForm(context, 'https://api.linear.app/oauth/token', tokenSchema, {
      grant_type: 'authorization_code',
      code,
      redirect_uri: redirectUrl,
      code_verifier: verifier,
    });
    const { access_token, refresh_token, expires_in, scope } = answer;
    return {
      kind: 'linear_app',
      secret: { access_token, ...(refresh_token ? { refresh_token } : {}) },
      detail: { ...(scope ? { scope: scopeList(scope) } : {}), ...expiryDetail(context, expires_in) },
    };
  },
  async revoke(context) {
    try {
      await postForm(context, 'https://api.linear.app/oauth/revoke', z.unknown(), {});
    } catch (error) {
      // Linear answers 400 or 401 for a token that is gone already.
      if (error instanceof ProviderError && /answered 40[01]/.test(error.message)) return;
      throw error;
    }
  },
};
