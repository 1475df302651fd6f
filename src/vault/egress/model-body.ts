import { holdsMoreValues } from './json-values.ts';
import { checkModelBody, type ModelWire } from './model-door.ts';
import { type Refusal, refuse } from './refusal.ts';

/** Of a model request. A long conversation with all its tools has some ten thousand. */
const maxValues = 250_000;

/** One body of a model request, to be judged. */
export interface ModelBody {
  bytes: Buffer;
  wire: Exclude<ModelWire, 'none'>;
  /** Whether the session may reach out anywhere by itself. */
  mayReachOut: boolean;
}

export type JudgedModelBody = { ok: true; body: Buffer } | { ok: false; refusal: Refusal };

/** Reads, judges and writes anew: what was judged is what is sent, whatever another parser had made of the bytes. Pure. */
export function judgeModelBody({ bytes, wire, mayReachOut }: ModelBody): JudgedModelBody {
  if (holdsMoreValues(bytes, maxValues)) {
    const message = `The body of a model request may hold at most ${maxValues} values. Send less at once.`;
    return { ok: false, refusal: refuse('model.body', message, 413) };
  }
  try {
    const parsed: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    const refusal = checkModelBody(wire, parsed, mayReachOut);
    return refusal ? { ok: false, refusal } : { ok: true, body: Buffer.from(JSON.stringify(parsed)) };
  } catch {
    return { ok: false, refusal: refuse('model.body', 'The body of a model request must be JSON.', 400) };
  }
}
