import type { Asking } from './asking.ts';
import type { Hold } from './held-answer.ts';
import type { DoorBrings, DoorQuestion } from './protocol.ts';
import type { BroughtText } from './provider-door.ts';
import { failed, type Refusal, RefusedError, refuse } from './refusal.ts';

/** A longer answer is passed on as it comes, as text by nobody knows whom. */
const maxHeldBytes = 4 * 1024 * 1024;

type About = Pick<DoorQuestion, 'provider' | 'request' | 'place'>;
type Kind = { kind: 'write' } | { kind: 'read_elsewhere' } | { kind: 'texts'; brings: DoorBrings };

export const placeOf = ({ place }: { place?: Record<string, string> }) => (place ? { place } : {});

/**
 * What the worker has against a request that the gate has let through: whether who asked still has authority is asked of
 * the provider before each write, and for a read elsewhere whether they have access there. Undefined when nothing.
 */
export async function objectionOfWorker(
  asking: Asking,
  about: About,
  { writes, elsewhere }: { writes: boolean; elsewhere: boolean },
): Promise<Refusal | undefined> {
  if (!writes && !elsewhere) return undefined;
  const kind = writes ? 'write' : 'read_elsewhere';
  try {
    await ask(asking, about, { kind });
    return undefined;
  } catch (error) {
    if (error instanceof RefusedError) return error.refusal;
    throw error;
  }
}

/** Holds an answer back until it is on record whose text it brings; from then on the session is judged by that. */
export function holdFor(asking: Asking, about: About, brings: BroughtText): Hold {
  return {
    maxBytes: maxHeldBytes,
    judge: (body) => recordTexts(asking, about, brings, body),
  };
}

/** Puts on record whose text the session is about to be given. Rejects with a RefusedError where that cannot be done. */
export async function recordTexts(
  asking: Asking,
  about: About,
  brings: BroughtText,
  body: Buffer | undefined,
): Promise<void> {
  const named = brings.by === 'named';
  const writers = named && body ? (asking.parts.writersIn[about.provider]?.(body) ?? null) : null;
  await ask(asking, about, { kind: 'texts', brings: named ? { ...brings, writers } : brings });
  asking.session.forgetPolicy();
}

async function ask({ parts, session }: Asking, about: About, kind: Kind): Promise<void> {
  const answer = await parts.askWorker(session.sessionId, { ...about, ...kind }).catch((error: unknown) => {
    parts.logger.warn({ err: error, sessionId: session.sessionId }, 'The worker did not answer.');
    throw new RefusedError(
      failed('door.unavailable', 'It cannot be checked now whether this may be done. Try again.', 503),
    );
  });
  if (!answer.ok) throw new RefusedError(refuse(`door.${kind.kind}`, answer.reason));
}
