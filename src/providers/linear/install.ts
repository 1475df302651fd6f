import { z } from 'zod';
import { type ProviderAdapter, ProviderError, type SplitCredentials } from '../provider.ts';
import { callLinear, linearClient } from './client.ts';

const visible = /^[\x21-\x7e]+$/;

const credentialsSchema = z.strictObject({
  signing_secret: z
    .string({
      error: "signing_secret is missing: it is shown with the webhook of the app in Linear's settings",
    })
    .trim()
    .min(8, 'signing_secret must have at least 8 characters')
    .regex(visible, 'signing_secret must not contain spaces or control characters'),
  access_token: z
    .string({ error: 'access_token is missing: it is what installing the app with actor=app gave' })
    .trim()
    .min(8, 'access_token is too short to be one')
    .regex(visible, 'access_token must not contain spaces or control characters')
    .refine((token) => !token.startsWith('lin_api_'), {
      message:
        'access_token is a personal API key (lin_api_…), which acts as a person and gets no agent sessions; use an OAuth token of the app, made with actor=app',
    }),
});

/** `{signing_secret, access_token}`. */
export function splitCredentials(credentials: unknown): SplitCredentials {
  const { signing_secret, access_token } = credentialsSchema.parse(credentials);
  return {
    webhookSecret: signing_secret,
    credential: { kind: 'linear_app', secret: { access_token }, detail: {} },
  };
}

/**
 * With a token made with `actor=app`, the viewer is the app's own user in the workspace. Linear does not say the OAuth
 * client's id to a token; webhooks are matched by organization and app user.
 */
export const whoAmI: ProviderAdapter['whoAmI'] = async (context) => {
  const client = linearClient(context.fetch);
  const viewer = await callLinear('the viewer', () => client.viewer);
  if (!viewer.app) {
    throw new ProviderError(
      'unauthorized',
      `The token acts as a person (${viewer.displayName || viewer.name}), not as the app. Install the app with actor=app and use that token.`,
    );
  }
  const organization = await callLinear('the organization', () => client.organization);
  const handle = viewer.displayName || viewer.name;
  return {
    workspaceId: organization.id,
    userId: viewer.id,
    ...(organization.name ? { workspaceName: organization.name } : {}),
    ...(handle ? { handle } : {}),
  };
};
