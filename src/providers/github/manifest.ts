import { permissionsOf } from '../../capabilities/scopes.ts';
import { baseManifest, cut } from '../base-manifest.ts';
import type { ManifestInput } from '../publish-flow.ts';
import { type GithubManifest, githubBaseSchema } from './manifest-schema.ts';

const base = baseManifest('github', githubBaseSchema);

/** A publication's GitHub App manifest. Pure. Texts are cut to what GitHub takes. */
export function manifest(input: ManifestInput): GithubManifest {
  const description = cut(input.description, 500);
  return {
    ...base,
    name: cut(input.name, 34),
    ...(description ? { description } : {}),
    url: input.baseUrl,
    hook_attributes: { ...base.hook_attributes, url: input.webhookUrl },
    redirect_url: input.redirectUrl,
    setup_url: input.setupUrl,
    default_permissions: { ...base.default_permissions, ...permissionsOf(input.scopes) },
  };
}
