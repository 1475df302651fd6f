import { headerValues, type RequestFraming, requestFraming } from './http1-head.ts';
import { malformed, type Refusal } from './refusal.ts';
import { parseTarget, type RequestTarget } from './request-target.ts';

/** A request's head as the parser read it. */
export interface RequestHead {
  method: string;
  url: string;
  httpVersion: string;
  /** Names and values in turn, as sent. */
  rawHeaders: readonly string[];
}

/** What was asked for, once there is no doubt about it. */
export interface GatedRequest {
  method: string;
  target: RequestTarget;
  body: RequestFraming;
  expectsContinue: boolean;
}

export type GateResult = { ok: true; request: GatedRequest } | { ok: false; refusal: Refusal };

/** Of one request. */
export const maxHeaders = 200;
const refusedMethods = new Set(['TRACE', 'TRACK', 'CONNECT']);

const no = (rule: string, message: string, status?: number): GateResult => ({
  ok: false,
  refusal: malformed(rule, message, status),
});

/**
 * Passes only what every server reads alike: HTTP/1.1, exactly one Host that names `host`, an origin-form target
 * with one meaning, one framing of the body. The parser in front is lenient about several of these.
 */
export function checkRequest(head: RequestHead, host: string, port: number, isWebSocket = false): GateResult {
  if (head.httpVersion !== '1.1') return no('http.version', 'Only HTTP/1.1 is spoken here.', 505);
  if (refusedMethods.has(head.method)) return no('http.method', `${head.method} is not passed on.`, 405);
  if (head.rawHeaders.length / 2 > maxHeaders) {
    return no('http.headers', `A request may have at most ${maxHeaders} headers.`, 431);
  }
  const hosts = headerValues(head.rawHeaders, 'host');
  if (hosts.length !== 1) return no('http.host', 'A request needs exactly one Host header.');
  const named = (hosts[0] ?? '').toLowerCase();
  if (named !== host && named !== `${host}:${port}`) {
    return no('http.host', `The Host header must name ${host}, for which this connection was opened.`, 421);
  }
  const target = parseTarget(head.url);
  if (!target.ok) return no('http.target', `The request's target is ambiguous: ${target.reason}.`);
  if (!isWebSocket && headerValues(head.rawHeaders, 'upgrade').length > 0) {
    return no('http.upgrade', 'A connection can be changed to a WebSocket only, asked for properly.', 501);
  }
  return checkFraming(head, target.target);
}

function checkFraming({ method, rawHeaders }: RequestHead, target: RequestTarget): GateResult {
  const body = requestFraming(rawHeaders);
  if (typeof body === 'string') return no('http.framing', body);
  const expectations = headerValues(rawHeaders, 'expect');
  if (expectations.length > 1 || (expectations[0] ?? '100-continue').toLowerCase() !== '100-continue') {
    return no('http.expect', 'The only expectation that is met is "100-continue".', 417);
  }
  return { ok: true, request: { method, target, body, expectsContinue: expectations.length > 0 } };
}
