import { type PresencePhase, type ProviderContext, ProviderError, type ToolTarget } from '../provider.ts';
import { callSlack, slackClient, slackErrorName } from './client.ts';
import { threadOf } from './send.ts';

const sign = 'eyes';

/**
 * Shows the status line below the thread ("is working…"), which Slack takes away with our next post or after 2 min.
 * Where the app may not set one, an eyes reaction on the message stands for it, and goes when it is over.
 */
export async function presence(
  context: ProviderContext,
  target: ToolTarget,
  phase: PresencePhase,
  text?: string,
): Promise<void> {
  const { channel, threadTs } = threadOf(target);
  const client = slackClient(context.fetch);
  try {
    await callSlack('assistant.threads.setStatus', () =>
      client.assistant.threads.setStatus({
        channel_id: channel,
        thread_ts: threadTs,
        status: phase === 'working' ? (text ?? 'is working…') : '',
      }),
    );
  } catch (error) {
    if (!(error instanceof ProviderError) || error.code !== 'refused') throw error;
    await react(context, { channel, ts: target.message?.ts ?? threadTs }, phase === 'working');
  }
}

async function react(
  context: ProviderContext,
  message: { channel: string; ts: string },
  isPresent: boolean,
): Promise<void> {
  const { reactions } = slackClient(context.fetch);
  const what = { channel: message.channel, timestamp: message.ts, name: sign };
  try {
    if (isPresent) await callSlack('reactions.add', () => reactions.add(what));
    else await callSlack('reactions.remove', () => reactions.remove(what));
  } catch (error) {
    const name = slackErrorName(error);
    // It is as it should be: set before, taken away before, or its message is gone.
    if (name === 'already_reacted' || name === 'no_reaction' || name === 'message_not_found') return;
    throw error;
  }
}
