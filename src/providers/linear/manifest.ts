import { baseManifest, cut } from '../base-manifest.ts';
import type { ManifestInput } from '../publish-flow.ts';
import { type LinearManifest, linearBaseSchema } from './manifest-schema.ts';

const base = baseManifest('linear', linearBaseSchema);

/** A publication's Linear manifest. Pure. A name may not contain `Linear` or an address, and has two characters at least. */
export function manifest(input: ManifestInput): LinearManifest {
  const name = cut(input.name.replace(/https?:\/*|www\.|linear/gi, ' '), 80);
  const description = cut(input.description, 1000);
  return {
    ...base,
    display: description ? { description } : {},
    oauth: {
      ...base.oauth,
      client_name: name.length < 2 ? `${name} agent`.trim() : name,
      client_uri: input.baseUrl,
      redirect_uris: [input.redirectUrl],
    },
    webhook: { ...base.webhook, url: input.webhookUrl },
  };
}
