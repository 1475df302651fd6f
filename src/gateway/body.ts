import type { IncomingMessage } from 'node:http';

/** How many body bytes the process may hold at once, over all requests that are being read or stored. */
export interface BodyBudgetOptions {
  maxBytes: number;
  /** A body up to this size may use the whole budget; larger ones leave a quarter of it to those. */
  smallBytes: number;
}

/**
 * Counts the body bytes that the process holds. Whoever sends big bodies without a right to (nothing is verified before
 * it is whole) fills at most three quarters, so that ordinary deliveries still come through.
 */
export class BodyBudget {
  readonly #options: BodyBudgetOptions;
  #held = 0;

  constructor(options: BodyBudgetOptions) {
    this.#options = options;
  }

  get heldBytes(): number {
    return this.#held;
  }

  /** Takes `bytes` more for a body that holds `holding` so far; false when there is no room. */
  take(bytes: number, holding: number): boolean {
    const { maxBytes, smallBytes } = this.#options;
    const limit = holding + bytes <= smallBytes ? maxBytes : maxBytes * 0.75;
    if (this.#held + bytes > limit) return false;
    this.#held += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }
}

export type BodyResult =
  | { ok: true; body: Buffer }
  /** `gone`: the client broke off, nobody is there to answer. */
  | { ok: false; reason: 'too_large' | 'no_room' | 'gone' };

/**
 * Reads the exact bytes of a request's body, counting what really comes: a `content-length` above the limit is believed,
 * one below it is not. The caller gives the body's length back to the budget when it no longer holds it; after a
 * failure nothing is held, and what still comes is thrown away.
 */
export function readBody(
  request: IncomingMessage,
  maxBytes: number,
  budget: BodyBudget,
  done: (result: BodyResult) => void,
): void {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) {
    request.resume();
    done({ ok: false, reason: 'too_large' });
    return;
  }
  let chunks: Buffer[] = [];
  let length = 0;
  let settled = false;
  const fail = (reason: 'too_large' | 'no_room' | 'gone') => {
    if (settled) return;
    settled = true;
    chunks = [];
    budget.give(length);
    done({ ok: false, reason });
  };
  request.on('data', (chunk: Buffer) => {
    if (settled) return;
    if (length + chunk.length > maxBytes) return fail('too_large');
    if (!budget.take(chunk.length, length)) return fail('no_room');
    length += chunk.length;
    chunks.push(chunk);
  });
  request.on('end', () => {
    if (settled) return;
    settled = true;
    const [only] = chunks;
    done({ ok: true, body: chunks.length === 1 && only ? only : Buffer.concat(chunks, length) });
  });
  request.on('error', () => fail('gone'));
  request.on('close', () => fail('gone'));
}
