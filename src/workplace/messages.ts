import { z } from 'zod';

const urls = z.object({
  slack: z.string().optional(),
  github: z.string().optional(),
  linear: z.string().optional(),
});

/** What the server tells the workplace's process. */
export const toWorkplace = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('start'),
    folder: z.string(),
    agentName: z.string().optional(),
    offlineModel: z.boolean().optional(),
  }),
  z.object({ type: z.literal('set_webhook_urls'), urls }),
  z.object({ type: z.literal('stop') }),
]);

/** What the workplace's process tells the server. */
export const fromWorkplace = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('ready'),
    apiUrl: z.string(),
    apiSecret: z.string(),
    modelApiKey: z.string(),
    upstreams: z.object({
      slackApiUrl: z.string(),
      githubApiUrl: z.string(),
      linearApiUrl: z.string(),
      modelUrl: z.string().optional(),
    }),
    credentials: z.object({
      slack: z.object({ signing_secret: z.string(), bot_token: z.string() }),
      github: z.object({
        app_id: z.string(),
        private_key: z.string(),
        webhook_secret: z.string(),
        installation_id: z.string(),
      }),
      linear: z.object({ signing_secret: z.string(), access_token: z.string() }),
    }),
  }),
  z.object({ type: z.literal('webhook_urls_set') }),
  z.object({ type: z.literal('failed'), message: z.string() }),
]);

export type ToWorkplace = z.infer<typeof toWorkplace>;
export type FromWorkplace = z.infer<typeof fromWorkplace>;
