import { baseManifest, cut } from '../base-manifest.ts';
import type { ManifestInput } from '../publish-flow.ts';
import { type SlackManifest, slackBaseSchema } from './manifest-schema.ts';

const base = baseManifest('slack', slackBaseSchema);

/** A publication's Slack manifest. Pure. Texts are cut to what Slack takes; a short description is no long one. */
export function manifest(input: ManifestInput): SlackManifest {
  const description = input.description.replace(/\s+/g, ' ').trim();
  const { features, settings } = base;
  const { event_subscriptions: events, interactivity } = settings;
  return {
    ...base,
    display_information: {
      ...base.display_information,
      name: cut(input.name, 35),
      ...(description ? { description: cut(description, 140) } : {}),
      ...(description.length >= 175 ? { long_description: cut(description, 4000) } : {}),
    },
    features: {
      ...features,
      bot_user: { ...features.bot_user, display_name: cut(input.name, 80) },
      agent_view: {
        agent_description: cut(description, 300) || (features.agent_view?.agent_description ?? input.name),
      },
    },
    oauth_config: { redirect_urls: [input.redirectUrl], scopes: { bot: [...input.scopes] } },
    settings: {
      ...settings,
      event_subscriptions: { ...events, request_url: input.webhookUrl },
      interactivity: { ...interactivity, request_url: input.webhookUrl },
    },
  };
}
