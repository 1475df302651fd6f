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
  body: { framing: 'none' } | { framing: 'length'; bytes: number } | { framing: 'chunked' };
  expectsContinue: boolean;
}

export type GateResult = { ok: true; request: GatedRequest } | { ok: false; refusal: Refusal };

/** Of one request. */
export const maxHeaders = 200;
const refusedMethods = new Set(['TRACE', 'TRACK', 'CONNECT']);

/** All values of one header, in order. */
export function headerValues(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() === name) values.push(rawHeaders[i + 1] ?? '');
  }
  return values;
}

/** The headers that decide what a request is, as they came. */
interface Deciding {
  host: string[];
  upgrade: string[];
  'transfer-encoding': string[];
  'content-length': string[];
  expect: string[];
}

function deciding(rawHeaders: readonly string[]): Deciding {
  const found: Deciding = {
    host: [],
    upgrade: [],
    'transfer-encoding': [],
    'content-length': [],
    expect: [],
  };
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? '').toLowerCase();
    switch (name) {
      case 'host':
      case 'upgrade':
      case 'transfer-encoding':
      case 'content-length':
      case 'expect':
        found[name].push(rawHeaders[i + 1] ?? '');
    }
  }
  return found;
}

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
  const headers = deciding(head.rawHeaders);
  const hosts = headers.host;
  if (hosts.length !== 1) return no('http.host', 'A request needs exactly one Host header.');
  const named = (hosts[0] ?? '').toLowerCase();
  if (named !== host && named !== `${host}:${port}`) {
    return no('http.host', `The Host header must name ${host}, for which this connection was opened.`, 421);
  }
  const target = parseTarget(head.url);
  if (!target.ok) return no('http.target', `The request's target is ambiguous: ${target.reason}.`);
  if (headers.upgrade.length > 0 && !isWebSocket) {
    return no('http.upgrade', 'A connection can be changed to a WebSocket only, asked for properly.', 501);
  }
  return checkFraming(head.method, headers, target.target);
}

function checkFraming(method: string, headers: Deciding, target: RequestTarget): GateResult {
  const encodings = headers['transfer-encoding'];
  const lengths = headers['content-length'];
  if (encodings.length > 1 || lengths.length > 1 || (encodings.length > 0 && lengths.length > 0)) {
    return no('http.framing', "The end of the request's body is ambiguous.");
  }
  if (encodings.length > 0 && encodings[0]?.toLowerCase() !== 'chunked') {
    return no('http.framing', 'The only transfer encoding passed on is "chunked".');
  }
  if (lengths.length > 0 && !/^\d{1,15}$/.test(lengths[0] ?? '')) {
    return no('http.framing', 'The Content-Length is not a number.');
  }
  const expectations = headers.expect;
  if (expectations.length > 1 || (expectations[0] ?? '100-continue').toLowerCase() !== '100-continue') {
    return no('http.expect', 'The only expectation that is met is "100-continue".', 417);
  }
  const bytes = Number(lengths[0] ?? 0);
  const body: GatedRequest['body'] =
    encodings.length > 0
      ? { framing: 'chunked' }
      : bytes > 0
        ? { framing: 'length', bytes }
        : { framing: 'none' };
  return {
    ok: true,
    request: { method, target, body, expectsContinue: expectations.length > 0 },
  };
}
