import { z } from 'zod';
import { ProviderError } from '../provider.ts';
import type { PublishFlow } from '../publish-flow.ts';
import { callGithub, githubAnswer, githubClient } from './client.ts';
import { manifest } from './manifest.ts';

const conversionSchema = z.looseObject({
  id: z.number(),
  slug: z.string().min(1),
  client_id: z.string(),
  client_secret: z.string(),
  webhook_secret: z.string().nullable(),
  pem: z.string(),
  html_url: z.string().optional(),
});

/** GitHub: the manifest is posted by the browser, a code comes back, and the code becomes the app's credentials. */
export const publishFlow: PublishFlow = {
  firstWords: 'Mention it in an issue of a repository that it is installed on.',
  namedBySlug: true,
  manifest,
  create(input, { pages, owner, state }) {
    const path = owner
      ? `/organizations/${encodeURIComponent(owner)}/settings/apps/new`
      : '/settings/apps/new';
    const url = new URL(path, pages.apps);
    url.searchParams.set('state', state);
    return { method: 'post', url: url.href, fields: { manifest: JSON.stringify(manifest(input)) } };
  },
  appFields: [],
  async convert(context, code) {
    const client = githubClient(context.fetch);
    const { data } = await callGithub('the conversion of the code', () =>
      client.request('POST /app-manifests/{code}/conversions', { code }),
    );
    const app = conversionSchema.safeParse(data);
    if (!app.success)
      throw new ProviderError('unavailable', 'GitHub answered the code with something unexpected.');
    const { id, slug, client_id, client_secret, webhook_secret, pem, html_url } = app.data;
    return {
      webhookSecret: webhook_secret ?? undefined,
      credential: {
        kind: 'github_app',
        secret: { app_id: String(id), private_key: pem, client_id, client_secret },
        detail: { app_id: String(id) },
      },
      setup: { appId: String(id), slug, clientId: client_id, ...(html_url ? { appUrl: html_url } : {}) },
    };
  },
  installUrl({ setup, pages, state }) {
    if (!setup.slug) throw new ProviderError('refused', 'The GitHub App has no name yet.');
    // GitHub Enterprise Server has its apps at another path than github.com.
    const enterprise = !/(^|\.)github\.com$|^127\.0\.0\.1$/.test(new URL(pages.web).hostname);
    const url = new URL(`/${enterprise ? 'github-apps' : 'apps'}/${setup.slug}/installations/new`, pages.web);
    url.searchParams.set('state', state);
    return url.href;
  },
  async revoke(context, identity) {
    const client = githubClient(context.fetch);
    try {
      await client.request('DELETE /app/installations/{installation_id}', {
        installation_id: Number(identity.workspaceId),
      });
    } catch (error) {
      const status = githubAnswer(error)?.status;
      if (status === 404 || status === 401) return;
      throw new ProviderError(
        'refused',
        `GitHub did not delete the installation (${status ?? 'no answer'}).`,
      );
    }
  },
};
