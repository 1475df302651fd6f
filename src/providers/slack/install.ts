import { z } from 'zod';
import { type ProviderAdapter, ProviderError, type SplitCredentials } from '../provider.ts';
import { callSlack, slackClient } from './client.ts';

const visible = /^[\x21-\x7e]+$/;

const credentialsSchema = z.strictObject({
  signing_secret: z
    .string({ error: 'signing_secret is missing: it is on the Slack app\'s "Basic Information" page' })
    .trim()
    .min(8, 'signing_secret is too short: copy it from the Slack app\'s "Basic Information" page')
    .regex(visible, 'signing_secret must not contain spaces or control characters'),
  bot_token: z
    .string({ error: 'bot_token is missing: it is on the Slack app\'s "OAuth & Permissions" page' })
    .trim()
    .regex(visible, 'bot_token must not contain spaces or control characters')
    .regex(
      /^(xoxe\.)?xoxb-/,
      'bot_token must be a bot token, which begins with xoxb-; user and app-level tokens do not work',
    ),
});

/** `{signing_secret, bot_token}`. */
export function splitCredentials(credentials: unknown): SplitCredentials {
  const { signing_secret, bot_token } = credentialsSchema.parse(credentials);
  return {
    webhookSecret: signing_secret,
    credential: { kind: 'slack_bot', secret: { token: bot_token }, detail: {} },
  };
}

/**
 * `auth.test` says who the token is. `bots.info` and `users.info` add the app's id and the name that people type; both
 * need the scope `users:read`, and where it is missing the identity goes without.
 */
export const whoAmI: ProviderAdapter['whoAmI'] = async (context) => {
  const client = slackClient(context.fetch);
  const me = await callSlack('auth.test', () => client.auth.test());
  if (!me.team_id || !me.user_id || !me.bot_id) {
    throw new ProviderError(
      'unauthorized',
      'The token is not that of a bot user. Use the xoxb- token of the app.',
    );
  }
  const bot = await optional(() => client.bots.info({ bot: me.bot_id ?? '' }), 'bots.info');
  const user = await optional(() => client.users.info({ user: me.user_id ?? '' }), 'users.info');
  const profile = user?.user?.profile;
  const appId = bot?.bot?.app_id || me.app_id || profile?.api_app_id;
  const handle = profile?.display_name || profile?.real_name || user?.user?.name || me.user;
  return {
    workspaceId: me.team_id,
    userId: me.user_id,
    botId: me.bot_id,
    ...(me.team ? { workspaceName: me.team } : {}),
    ...(appId ? { appId } : {}),
    ...(handle ? { handle } : {}),
    ...(me.response_metadata?.scopes ? { scopes: me.response_metadata.scopes } : {}),
  };
};

async function optional<T>(call: () => Promise<T>, method: string): Promise<T | undefined> {
  try {
    return await callSlack(method, call);
  } catch (error) {
    if (error instanceof ProviderError && error.code === 'refused') return undefined;
    throw error;
  }
}
