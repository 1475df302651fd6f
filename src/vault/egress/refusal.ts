/** What the egress process answers instead of passing a request on. */
export interface Refusal {
  status: number;
  /** Which rule decided, as it is recorded. */
  rule: string;
  /** A sentence for the agent: what was refused and what would allow it. Never an address, never a secret. */
  message: string;
  /** `refused`: by rule. `failed`: it was allowed and could not be done. */
  decision: 'refused' | 'failed';
  /** Whether what follows on this connection cannot be trusted to be a request. */
  close: boolean;
  type: string;
  /** Of 429 and 503; one second when left out. */
  retryAfterSeconds?: number;
}

/** Says no by rule. */
export function refuse(rule: string, message: string, status = 403): Refusal {
  return { status, rule, message, decision: 'refused', close: false, type: 'egress_refused' };
}

/** Says no to a request that cannot be read in one way only; its connection is closed. */
export function malformed(rule: string, message: string, status = 400): Refusal {
  return { status, rule, message, decision: 'refused', close: true, type: 'egress_refused' };
}

/** Says that a session uses more than it may. Its connection is closed: what follows on it would be as much too much. */
export function tooMuch(rule: string, message: string, retryAfterSeconds = 1): Refusal {
  const refusal = malformed(rule, `${message} Try again later; the operator can raise it.`, 429);
  return { ...refusal, retryAfterSeconds };
}

/** When to ask again, for the statuses that say so; undefined for the others. */
export function retryAfter({ status, retryAfterSeconds = 1 }: Refusal): string | undefined {
  return status === 429 || status === 503 ? String(retryAfterSeconds) : undefined;
}

/** Says that something allowed could not be done. */
export function failed(rule: string, message: string, status = 502, type = 'egress_failed'): Refusal {
  return { status, rule, message, decision: 'failed', close: false, type };
}

/** A refusal thrown where there is no other way out, as from a connector. */
export class RefusedError extends Error {
  override name = 'RefusedError';
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

/** Tells our own answers from an upstream's. */
export const egressHeader = 'x-tagalong-egress';

/** The JSON body of a refusal. */
export function refusalBody({ type, rule, message }: Refusal): Buffer {
  return Buffer.from(JSON.stringify({ error: { type, rule, message } }));
}

/** A refusal as bytes, for where there is no response object: CONNECT, unreadable requests. Closes the connection. */
export function rawRefusal(refusal: Refusal): Buffer {
  const body = refusalBody(refusal);
  const later = retryAfter(refusal);
  const head = [
    `HTTP/1.1 ${refusal.status} Egress ${refusal.decision}: ${refusal.rule}`,
    `${egressHeader}: ${refusal.decision}`,
    'content-type: application/json',
    `content-length: ${body.byteLength}`,
    ...(later ? [`retry-after: ${later}`] : []),
    'connection: close',
    ...(refusal.status === 407 ? ['proxy-authenticate: Basic realm="Tagalong"'] : []),
    '',
    '',
  ];
  return Buffer.concat([Buffer.from(head.join('\r\n'), 'latin1'), body]);
}
