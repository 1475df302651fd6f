import type { OutcomeKind } from '../store/schema.ts';
import { waitingReason } from '../store/waiting-deliveries.ts';

/** A stored reason is a code, and may carry a detail after it. Pure. */
export function readReason(reason: string | null): { code?: string; detail?: string } {
  if (reason === null) return {};
  const at = reason.indexOf(': ');
  return at < 0 ? { code: reason } : { code: reason.slice(0, at), detail: reason.slice(at + 2) };
}

/** Why a delivery ended as it did, in words that an admin understands. Pure. */
export function whyOf(
  outcome: OutcomeKind,
  code: string | undefined,
  detail: string | undefined,
  sentences: Readonly<Record<string, string>>,
): string {
  if (outcome === 'pending' && code === waitingReason) {
    return 'It is stored and waits: the app has to be installed again at the provider, or is suspended there. It is answered, in its order, once that is over; the publication says what is to be done.';
  }
  if (outcome === 'pending') {
    return 'It is stored and waits: to be looked at, or for the provider to say who wrote it.';
  }
  if (outcome === 'routed' && code === 'let_in') {
    return `It reached the agent, since the publication's policy lets its author address it. They have no authority by that: what goes beyond reading and replying there needs a person's approval. In detail: ${(detail ?? '').replace(/\.$/, '')}.`;
  }
  if (outcome === 'routed') return 'It reached the agent, or what it is about.';
  const sentence =
    code !== undefined && Object.hasOwn(sentences, code) ? sentences[code] : 'It could not be acted upon.';
  if (detail === undefined) return sentence ?? '';
  return `${sentence} In detail: ${detail.replace(/\.$/, '')}.`;
}
