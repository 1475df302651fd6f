import type { ProviderAdapter } from '../provider.ts';
import { callSlack, slackClient } from './client.ts';
import { toMrkdwn } from './mrkdwn.ts';
import { threadOf } from './send.ts';

/** A message in the thread that one person sees, until they load Slack anew. */
export const whisper: NonNullable<ProviderAdapter['whisper']> = async (context, place, personId, text) => {
  const { channel, threadTs } = threadOf({ place });
  await callSlack('chat.postEphemeral', () =>
    slackClient(context.fetch).chat.postEphemeral({
      channel,
      thread_ts: threadTs,
      user: personId,
      text: toMrkdwn(text),
    }),
  );
};
