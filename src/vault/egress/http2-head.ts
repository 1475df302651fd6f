import { malformed, type Refusal } from './refusal.ts';
import type { RequestHead } from './request-gate.ts';

export type Http2HeadResult = { ok: true; head: RequestHead } | { ok: false; refusal: Refusal };

/** Of all header fields together, as over HTTP/1.1. nghttp2 only tells clients of such a limit. */
export const maxHeaderBytes = 16 * 1024;

const pseudoNames = [':method', ':scheme', ':authority', ':path'];
/** Belong to one connection of HTTP/1.1 (RFC 9113, section 8.2.2). */
const connectionNames = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);
const token = /^[a-z0-9!#$%&'*+.^_`|~-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
const brokenValue = /[\u0000-\u0008\u000a-\u001f\u007f]|^[ \t]|[ \t]$/;

const no = (rule: string, message: string, status?: number): Http2HeadResult => ({
  ok: false,
  refusal: malformed(rule, message, status),
});

/**
 * Reads the header fields of an HTTP/2 request, names and values in turn as they came, and gives the request in the
 * form of HTTP/1.1, so that one gate judges both. Refuses what has no single meaning there (RFC 9113, sections 8.2
 * and 8.3): pseudo fields that are missing, doubled, unknown or late, fields of a connection, names and values that
 * would be cut elsewhere by a server of HTTP/1.1, an authority beside another Host. `bodyFollows` says whether the
 * header fields did not end the request.
 */
export function readHttp2Head(fields: readonly string[], bodyFollows: boolean): Http2HeadResult {
  const pseudo = new Map<string, string>();
  const rawHeaders: string[] = [];
  const hosts: string[] = [];
  let bytes = 0;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const value = fields[i + 1] ?? '';
    bytes += name.length + value.length + 4;
    if (bytes > maxHeaderBytes) return no('http.headers', 'The head of the request is too large.', 431);
    if (brokenValue.test(value)) return no('http.malformed', 'A header value holds what ends a line.');
    if (name.startsWith(':')) {
      if (!pseudoNames.includes(name) || pseudo.has(name) || rawHeaders.length > 0) {
        return no('http.pseudo', `The pseudo header ${name.slice(0, 40)} is unknown, doubled, or late.`);
      }
      pseudo.set(name, value);
      continue;
    }
    if (!token.test(name)) return no('http.malformed', 'A header name is not a token in lower case.');
    if (connectionNames.has(name)) return no('http.connection', `HTTP/2 has no header ${name}.`);
    if (name === 'te' && value.toLowerCase() !== 'trailers') {
      return no('http.connection', 'In HTTP/2 the header TE says "trailers" or is not there.');
    }
    if (name === 'host') hosts.push(value);
    rawHeaders.push(name, value);
  }
  const method = pseudo.get(':method') ?? '';
  if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(method)) return no('http.method', 'The method is not a token.');
  if (method === 'CONNECT') return no('http.method', 'CONNECT inside a tunnel is not passed on.', 405);
  if (pseudo.size !== pseudoNames.length) return no('http.pseudo', 'A pseudo header is missing.');
  if (pseudo.get(':scheme') !== 'https') return no('http.scheme', 'This connection is for https requests.');
  const authority = pseudo.get(':authority') ?? '';
  if (hosts.length > 1 || hosts.some((host) => host.toLowerCase() !== authority.toLowerCase())) {
    return no('http.host', 'The Host header and the authority of the request differ.', 421);
  }
  if (hosts.length === 0) rawHeaders.push('host', authority);
  const hasLength = rawHeaders.some((name, i) => i % 2 === 0 && name === 'content-length');
  if (bodyFollows && !hasLength) rawHeaders.push('transfer-encoding', 'chunked');
  return {
    ok: true,
    head: { method, url: pseudo.get(':path') ?? '', httpVersion: '1.1', rawHeaders },
  };
}
