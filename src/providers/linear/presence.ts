import { createHash } from 'node:crypto';
import type { PresencePhase, ProviderContext, ToolTarget } from '../provider.ts';
import { addActivity, agentSessionOf } from './send.ts';

const lookingInto = 'Looking into it.';

/**
 * A short thought when work begins: Linear shows a session as unresponsive when nothing comes within 10 s. Its id
 * follows from the message, so that showing it again adds nothing. The end is told by the answer itself.
 */
export async function presence(
  context: ProviderContext,
  target: ToolTarget,
  phase: PresencePhase,
  text = lookingInto,
): Promise<void> {
  if (phase !== 'working') return;
  const session = agentSessionOf(target);
  const id = uuidFrom(`presence:${session}:${target.message?.agent_activity_id ?? 'created'}:${text}`);
  await addActivity(context, 'thought', text, target, id);
}

/** A UUID that looks like version 4, the only one that Linear takes, and is always the same for the same words. */
export function uuidFrom(words: string): string {
  const hex = createHash('sha256').update(words).digest('hex');
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}
