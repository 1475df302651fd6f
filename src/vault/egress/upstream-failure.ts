import type { Readable } from 'node:stream';
import { failed, malformed, type Refusal, RefusedError } from './refusal.ts';

/** How long a request may be silent. */
export interface Silence {
  /** Until the answer begins, from when the request was sent whole. */
  firstByteMs: number;
  /** While a body is on its way, up or down, and nothing of it moves. */
  idleMs: number;
}

/** Without such bounds: a model may think for long before its first byte and between two. */
export const patientMs = 15 * 60_000;

/** What to answer when an upstream did not, or not properly. */
export function refusalOfFailure(error: Error, silence: Silence | undefined): Refusal {
  if (error instanceof RefusedError) return error.refusal;
  const code = String((error as { code?: unknown }).code ?? '');
  if (silence && code === 'UND_ERR_HEADERS_TIMEOUT') {
    const message = `The upstream did not begin to answer within ${silence.firstByteMs / 1000} seconds.`;
    return failed('limit.first_byte', message, 504);
  }
  if (silence && code === 'UND_ERR_BODY_TIMEOUT') {
    return failed('limit.idle', `Nothing came from the upstream for ${silence.idleMs / 1000} seconds.`, 504);
  }
  if (code.startsWith('UND_ERR_HEADERS_TIMEOUT') || code.startsWith('UND_ERR_BODY_TIMEOUT')) {
    return failed('upstream.timeout', 'The upstream did not answer in time.', 504);
  }
  if (code.startsWith('HPE_') || code.startsWith('UND_ERR_HEADERS_OVERFLOW')) {
    return failed('upstream.malformed', "The upstream's answer was not proper HTTP.");
  }
  if (code.startsWith('UND_ERR_REQ_CONTENT_LENGTH')) {
    return failed('http.framing', 'The body was not as long as announced.', 400);
  }
  return failed('upstream.broken', 'The connection to the upstream broke.');
}

/** Calls `late` when a body on its way up stands still. Refresh it with each piece that was sent. */
export function watchUpload(
  body: Readable,
  idleMs: number,
  late: (error: RefusedError) => void,
): NodeJS.Timeout {
  const timer = setTimeout(() => {
    const message = `Nothing of the body could be passed on for ${idleMs / 1000} seconds.`;
    late(new RefusedError(malformed('limit.idle', message, 408)));
  }, idleMs);
  body.once('close', () => clearTimeout(timer));
  return timer;
}
