import { createPrivateKey } from 'node:crypto';
import { z } from 'zod';
import { type ProviderAdapter, ProviderError, type SplitCredentials } from '../provider.ts';
import { callGithub, githubClient } from './client.ts';

const minModulusBits = 2048;

const digits = (name: string, where: string) =>
  z
    .union([z.string(), z.number()], { error: `${name} is missing: ${where}` })
    .transform((value) => String(value).trim())
    .pipe(z.string().regex(/^[1-9]\d{0,19}$/, `${name} must be a number: ${where}`));

const privateKey = z
  .string({ error: "private_key is missing: generate one on the GitHub App's settings page" })
  // Keys that went through an environment variable have their line ends written out.
  .transform((value) => value.replaceAll('\\n', '\n').replaceAll('\r\n', '\n').trim())
  .check((context) => {
    const message = objectionTo(context.value);
    if (message) context.issues.push({ code: 'custom', message, input: context.value });
  })
  .transform((value) => `${value}\n`);

function objectionTo(pem: string): string | undefined {
  if (!/^-----BEGIN (RSA )?PRIVATE KEY-----\n/.test(pem)) {
    return 'private_key must be the whole PEM file, beginning with -----BEGIN RSA PRIVATE KEY-----';
  }
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType !== 'rsa') return 'private_key must be an RSA key: GitHub Apps sign with RS256';
    const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
    return bits < minModulusBits ? `private_key has ${bits} bits, fewer than ${minModulusBits}` : undefined;
  } catch {
    return 'private_key cannot be read as PEM: copy the file again, with its first and last line';
  }
}

const credentialsSchema = z.strictObject({
  app_id: digits('app_id', "it is the App ID on the GitHub App's settings page"),
  private_key: privateKey,
  webhook_secret: z
    .string({ error: "webhook_secret is missing: it is the one set on the GitHub App's settings page" })
    .min(8, 'webhook_secret must have at least 8 characters')
    .regex(/^[^\r\n\0]+$/, 'webhook_secret must be one line'),
  installation_id: digits('installation_id', 'it is at the end of the address of the installation'),
});

/** `{app_id, private_key, webhook_secret, installation_id}`. */
export function splitCredentials(credentials: unknown): SplitCredentials {
  const { app_id, private_key, webhook_secret, installation_id } = credentialsSchema.parse(credentials);
  return {
    webhookSecret: webhook_secret,
    credential: {
      kind: 'github_app',
      secret: { app_id, private_key },
      detail: { app_id, installation_id },
    },
  };
}

type GithubClient = ReturnType<typeof githubClient>;

/**
 * The installation that the credentials name; where they name none, the one of the app that GitHub lists: of several
 * the app owner's, else the oldest. A number from an address counts only when GitHub lists it for this app.
 */
async function findInstallation(client: GithubClient, installationId: string | undefined) {
  if (installationId !== undefined) {
    const { data } = await callGithub(`installation ${installationId}`, () =>
      client.request('GET /app/installations/{installation_id}', { installation_id: Number(installationId) }),
    );
    return data;
  }
  const { data } = await callGithub('the installations of the app', () =>
    client.request('GET /app/installations', { per_page: 100 }),
  );
  const usable = data.filter((each) => !each.suspended_at).sort((a, b) => a.id - b.id);
  const [first] = usable.length > 0 ? usable : data;
  if (!first) {
    throw new ProviderError(
      'refused',
      'The app is not installed anywhere yet. Install it on the account whose repositories it shall work in.',
    );
  }
  return first;
}

/** The app (`GET /app`), its installation, and its bot user, whose id differs from the app's. */
export const whoAmI: ProviderAdapter['whoAmI'] = async (context, detail) => {
  const client = githubClient(context.fetch);
  const { data: app } = await callGithub('GET /app', () => client.request('GET /app'));
  if (!app?.slug)
    throw new ProviderError('refused', 'GitHub says no slug of the app: it has no name to be called by.');
  const installation = await findInstallation(client, detail.installation_id);
  if (installation.suspended_at) {
    throw new ProviderError('unauthorized', 'The installation is suspended. Unsuspend it on GitHub.');
  }
  const { data: bot } = await callGithub(`the user ${app.slug}[bot]`, () =>
    client.request('GET /users/{username}', { username: `${app.slug}[bot]` }),
  );
  const account = installation.account;
  const workspaceName = account && ('login' in account ? account.login : account.slug);
  return {
    workspaceId: String(installation.id),
    appId: String(app.id),
    userId: String(bot.id),
    handle: app.slug,
    ...(workspaceName ? { workspaceName } : {}),
    ...(installation.permissions ? { scopes: scopesOf(installation.permissions) } : {}),
  };
};

/** As `requiredScopes` names them. */
function scopesOf(permissions: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(permissions).map(([name, level]) => `${name}:${level}`);
}
