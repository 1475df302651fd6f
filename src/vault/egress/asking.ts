import type { Readable } from 'node:stream';
import type { IncomingBody } from './bodies.ts';
import type { EgressParts } from './parts.ts';
import type { ProxySession } from './proxy-session.ts';
import { type Refusal, refuse } from './refusal.ts';
import type { GatedRequest } from './request-gate.ts';
import type { SessionPolicy } from './session-policy.ts';

/** A gated request on its way through the door. */
export interface Asking {
  parts: EgressParts;
  session: ProxySession;
  policy: SessionPolicy;
  host: string;
  port: number;
  request: GatedRequest;
  /** As they came. */
  sent: readonly string[];
  /** Already stripped. */
  headers: string[];
  body: IncomingBody;
  /** Tells the client to send its body, where it waits to be told. */
  wantBody: () => void;
}

/** The operator mapped this host, but not this path of it. */
export function unmapped(host: string): Refusal {
  return refuse(
    'upstream.unmapped',
    `The operator's mapping of ${host} does not cover this path. The operator can extend it.`,
  );
}

/** The headers with the length of a streamed body; a body without one is sent in chunks. */
export function framed({ headers, request: { body } }: Asking): string[] {
  return body.kind === 'length' ? [...headers, 'content-length', String(body.bytes)] : headers;
}

/** The same for a body that may have been read: the length of a buffer is the sender's to say. */
export function framedFor(asking: Asking, body: Readable | Buffer | null): string[] {
  return Buffer.isBuffer(body) ? asking.headers : framed(asking);
}

/** The body as it comes. */
export function streamed({ request, body, wantBody }: Asking): ReturnType<IncomingBody['stream']> | null {
  if (request.body.kind === 'none') return null;
  wantBody();
  return body.stream();
}
