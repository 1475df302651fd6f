import { z } from 'zod';

const url = z.url({ protocol: /^https?$/ });
const name = z
  .string()
  .min(2)
  .max(80)
  .refine((value) => !/linear|https?:|www\./i.test(value), 'must not contain Linear or a URL');

/** What Linear's manifest schema takes, as far as we write it. https://linear.app/.well-known/oauth-app-manifest.schema.json */
export const linearManifestSchema = z.strictObject({
  $schema: z.url().optional(),
  schemaVersion: z.literal('1.0.0'),
  distribution: z.enum(['private', 'public']),
  display: z.strictObject({ description: z.string().max(1000).optional() }),
  developer: z.strictObject({ name: z.string().min(2).max(80) }),
  oauth: z.strictObject({
    client_name: name,
    client_uri: url,
    redirect_uris: z.array(url).min(1).max(32),
    grant_types: z
      .array(z.enum(['authorization_code', 'client_credentials']))
      .refine((types) => types.includes('authorization_code'), 'must contain authorization_code'),
  }),
  webhook: z.strictObject({ enabled: z.boolean(), url, resourceTypes: z.array(z.string()).min(1) }),
});

export type LinearManifest = z.output<typeof linearManifestSchema>;

/** The base manifest: the same without the addresses that each publication fills in. */
export const linearBaseSchema = linearManifestSchema.extend({
  oauth: linearManifestSchema.shape.oauth.extend({
    client_uri: z.literal(''),
    redirect_uris: z.array(url).max(0),
  }),
  webhook: linearManifestSchema.shape.webhook.extend({ url: z.literal('') }),
});
