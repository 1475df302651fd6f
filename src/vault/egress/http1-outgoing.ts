import type { Readable } from 'node:stream';
import type { Lane } from './fair-queue.ts';
import { forbidden, token } from './http1-head.ts';

/** One request as it goes out; the host is the connection's to say, and how its body ends, where nothing says it. */
export interface UpstreamRequest {
  method: string;
  /** With its query. */
  path: string;
  /** Names and values in turn. */
  headers: string[];
  body: Readable | Buffer | null;
  /** Until the answer begins, and between two pieces of it or of what goes up. */
  headersTimeout: number;
  bodyTimeout: number;
  /**
   * What goes after a body that is sent without its length, names and values in turn; asked once, at its end. What it
   * throws ends the request before that.
   */
  trailers?: (() => string[]) | undefined;
  /** In which a large body waits; left out, it goes as fast as it can. */
  lane?: Lane | undefined;
}

/** What stands in no path. */
export const unsafePath = /[^!-~]/;
/** Their requests have a body, be it an empty one. */
export const payloadMethods = new Set(['POST', 'PUT', 'PATCH', 'QUERY']);

/** The head as it goes out, and what is said of the body. Undefined when a part of it could be read as more than it is. */
export function writeHead({ method, path, headers, body }: UpstreamRequest, authority: string) {
  let head = `${method} ${path} HTTP/1.1\r\n`;
  if (!token.test(method) || unsafePath.test(path)) return undefined;
  let hasHost = false;
  let announced: string | undefined;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? '';
    const value = headers[i + 1] ?? '';
    if (name.length === 4) hasHost ||= name.toLowerCase() === 'host';
    else if (name.length === 14 && name.toLowerCase() === 'content-length') announced = value;
    if (forbidden.test(value) || !token.test(name)) return undefined;
    head += `${name}: ${value}\r\n`;
  }
  if (!hasHost) head += `host: ${authority}\r\n`;
  const isStream = body !== null && !Buffer.isBuffer(body);
  const isChunked = isStream && announced === undefined;
  if (isChunked) head += 'transfer-encoding: chunked\r\n';
  else if (announced === undefined && (body !== null || payloadMethods.has(method))) {
    head += `content-length: ${Buffer.isBuffer(body) ? body.byteLength : 0}\r\n`;
  }
  return {
    head: `${head}\r\n`,
    isChunked,
    announcedBytes: announced === undefined ? undefined : Number(announced),
  };
}

/** The end of a body in chunks, with the fields after it. Throws when one could be read as more than it is. */
export function writeEnd(trailers: readonly string[]): string {
  let end = '0\r\n';
  for (let i = 0; i + 1 < trailers.length; i += 2) {
    const name = trailers[i] ?? '';
    const value = trailers[i + 1] ?? '';
    if (forbidden.test(value) || !token.test(name)) throw new Error('a trailer holds what none may');
    end += `${name}: ${value}\r\n`;
  }
  return `${end}\r\n`;
}
