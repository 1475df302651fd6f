import { z } from 'zod';

const https = (most: number) => z.url({ protocol: /^https?$/ }).max(most);
const text = (least: number, most: number) => z.string().min(least).max(most);
const scopes = z.array(text(1, 50)).max(255);
const isUnique = (items: readonly string[]) => new Set(items).size === items.length;

/**
 * What Slack's manifest schema v2 takes, as far as we write it; unknown fields are refused as Slack refuses them.
 * https://github.com/slackapi/manifest-schema (manifest.schema.2.0.0.json)
 */
export const slackManifestSchema = z.strictObject({
  _metadata: z.strictObject({ major_version: z.int(), minor_version: z.int() }).optional(),
  display_information: z.strictObject({
    name: text(1, 35),
    description: text(1, 140).optional(),
    long_description: text(175, 4000).optional(),
    background_color: z
      .string()
      .regex(/^#([0-9a-f]{3}|[0-9a-f]{6})$/i)
      .optional(),
  }),
  features: z.strictObject({
    bot_user: z.strictObject({ display_name: text(1, 80), always_online: z.boolean().optional() }),
    app_home: z.strictObject({
      home_tab_enabled: z.boolean(),
      messages_tab_enabled: z.boolean(),
      messages_tab_read_only_enabled: z.boolean(),
    }),
    agent_view: z
      .strictObject({
        agent_description: text(1, 300),
        suggested_prompts: z
          .array(z.strictObject({ title: text(1, 300), message: text(1, 4000) }))
          .max(4)
          .optional(),
      })
      .optional(),
  }),
  oauth_config: z.strictObject({
    redirect_urls: z.array(https(2500)).max(1000).refine(isUnique, 'must not repeat an address'),
    scopes: z.strictObject({ bot: scopes, user: scopes.optional() }),
  }),
  settings: z.strictObject({
    event_subscriptions: z.strictObject({
      request_url: https(3500),
      bot_events: z.array(text(1, 50)).max(100).refine(isUnique, 'must not repeat an event'),
    }),
    interactivity: z.strictObject({ is_enabled: z.boolean(), request_url: https(3500) }),
    org_deploy_enabled: z.boolean(),
    socket_mode_enabled: z.boolean(),
    token_rotation_enabled: z.boolean(),
  }),
});

export type SlackManifest = z.output<typeof slackManifestSchema>;

/** The base manifest: the same without the addresses that each publication fills in. */
export const slackBaseSchema = slackManifestSchema.extend({
  settings: slackManifestSchema.shape.settings.extend({
    event_subscriptions: slackManifestSchema.shape.settings.shape.event_subscriptions.extend({
      request_url: z.literal(''),
    }),
    interactivity: slackManifestSchema.shape.settings.shape.interactivity.extend({
      request_url: z.literal(''),
    }),
  }),
});
