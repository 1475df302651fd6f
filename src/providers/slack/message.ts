import { z } from 'zod';
import type { InstallationIdentity } from '../../store/schema.ts';

const text = z.string().nullish();
const origin = {
  user: text,
  bot_id: text,
  app_id: text,
  bot_profile: z.object({ app_id: text }).nullish(),
};

/** The fields of a Slack message that we read, in an event or in an answer of the Web API. */
export const slackMessageSchema = z.object({
  type: text,
  subtype: text,
  ...origin,
  channel: text,
  channel_type: text,
  text,
  ts: text,
  thread_ts: text,
  user_team: text,
  source_team: text,
  user_profile: z.object({ display_name: text, real_name: text, name: text }).nullish(),
  metadata: z
    .object({
      event_type: text,
      event_payload: z.object({ hops: z.coerce.number().int() }).partial().nullish(),
    })
    .nullish(),
  files: z.array(z.object({ id: text, name: text, title: text, mimetype: text })).nullish(),
  /** `message_changed` and `message_deleted` carry the message itself here. */
  message: z.object(origin).nullish(),
  previous_message: z.object(origin).nullish(),
});
export type SlackMessage = z.infer<typeof slackMessageSchema>;
type Origin = Pick<SlackMessage, 'user' | 'bot_id' | 'app_id' | 'bot_profile'>;

/**
 * Whether this app wrote the message: by its bot user, its bot id or its app id, since no single one is always there
 * (customised identities lack `user`, and edits carry the author one level down).
 */
export function isOwn(message: Origin, identity: InstallationIdentity): boolean {
  const is = (known: string | undefined, given: string | null | undefined) =>
    known !== undefined && known !== '' && known === given;
  return (
    is(identity.userId, message.user) ||
    is(identity.botId, message.bot_id) ||
    is(identity.appId, message.app_id) ||
    is(identity.appId, message.bot_profile?.app_id)
  );
}
