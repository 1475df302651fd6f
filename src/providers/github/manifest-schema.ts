import { z } from 'zod';

const url = z.url({ protocol: /^https?$/ });
const permission = z.enum(['read', 'write', 'admin']);

/** What GitHub's page for new apps takes. https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest */
export const githubManifestSchema = z.strictObject({
  name: z.string().min(1).max(34),
  url,
  description: z.string().max(10_000).optional(),
  hook_attributes: z.strictObject({ url, active: z.boolean() }),
  redirect_url: url,
  callback_urls: z.array(url).max(10).optional(),
  setup_url: url,
  setup_on_update: z.boolean(),
  public: z.boolean(),
  request_oauth_on_install: z.boolean(),
  default_permissions: z.record(z.string().regex(/^[a-z_]+$/), permission),
  default_events: z.array(
    z
      .string()
      .regex(/^[a-z_]+$/)
      .refine(
        (event) => !['installation', 'installation_repositories', 'github_app_authorization'].includes(event),
        {
          message: 'is always delivered and must not be listed',
        },
      ),
  ),
});

export type GithubManifest = z.output<typeof githubManifestSchema>;

const empty = z.literal('');

/** The base manifest: the same without the addresses that each publication fills in. */
export const githubBaseSchema = githubManifestSchema.extend({
  url: empty,
  redirect_url: empty,
  setup_url: empty,
  hook_attributes: githubManifestSchema.shape.hook_attributes.extend({ url: empty }),
});
