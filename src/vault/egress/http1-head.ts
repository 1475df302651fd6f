import { METHODS } from 'node:http';

/** The start of one message of HTTP/1.1, read in the one way that RFC 9112 allows. */
export interface RequestStart {
  method: string;
  url: string;
  httpVersion: string;
  /** Names and values in turn, as sent, in latin1. */
  rawHeaders: string[];
}

export interface ResponseStart {
  status: number;
  httpVersion: string;
  rawHeaders: string[];
}

/** How the end of a request's body is known. */
export type RequestFraming = { kind: 'none' } | { kind: 'length'; bytes: number } | { kind: 'chunked' };
/** An answer's may last as long as its connection. */
export type Framing = RequestFraming | { kind: 'rest' };

/** Of what has come of a head, to see whether it is one. */
export const maxFirstLineBytes = 2_048;
const methods = new Set(METHODS);
const headEnd = Buffer.from('\r\n\r\n', 'latin1');
export const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** What stands in no line: control characters but the tab, so no line end that is not CR and LF together. */
export const forbidden = /[^\t\x20-\x7e\x80-\xff]/;
const requestLine = /^([!-~]+) ([!-~]+) HTTP\/(\d\.\d)$/;
const requestLineSoFar = /^(?:\r?|[A-Z-]{1,20}(?: [!-~]*(?: [HTP/.\d]{0,8}\r?)?)?)$/;
const statusLine = /^HTTP\/(1\.[01]) ([1-9]\d\d)(?: .*)?$/;
const noBody: RequestFraming = { kind: 'none' };
const chunked: RequestFraming = { kind: 'chunked' };

/** Where the head that begins at `from` ends, after its empty line; -1 while it is not whole. */
export function endOfHead(bytes: Buffer, from = 0): number {
  const at = bytes.indexOf(headEnd, from);
  return at < 0 ? -1 : at + 4;
}

/** Whether what came so far can become the head of a request: a client that speaks something else waits for nothing. */
export function mayBeRequest(text: string): boolean {
  const end = text.indexOf('\n');
  if (end < 0) return requestLineSoFar.test(text);
  return text[end - 1] === '\r' && requestLine.test(text.slice(0, end - 1));
}

/** The same of an answer. */
export function mayBeResponse(text: string): boolean {
  const end = text.indexOf('\n');
  if (end < 0) return 'HTTP/1.'.startsWith(text.slice(0, 7)) && !forbidden.test(text.replace(/\r$/, ''));
  return text[end - 1] === '\r' && statusLine.test(text.slice(0, end - 1));
}

/** Reads the head of a request, without its empty line. Undefined when it is not proper. */
export function readRequestStart(text: string): RequestStart | undefined {
  const end = text.indexOf('\r\n');
  const line = requestLine.exec(end < 0 ? text : text.slice(0, end));
  const [, method = '', url = '', httpVersion = ''] = line ?? [];
  // A method that nobody knows may be another to the one who reads it next, as `get` is.
  if (!line || !methods.has(method)) return undefined;
  const rawHeaders = end < 0 ? [] : readFields(text, end + 2);
  return rawHeaders && { method, url, httpVersion, rawHeaders };
}

/** Reads the head of an answer, without its empty line. Undefined when it is not proper. */
export function readResponseStart(text: string): ResponseStart | undefined {
  const end = text.indexOf('\r\n');
  const first = end < 0 ? text : text.slice(0, end);
  const line = statusLine.exec(first);
  if (!line || forbidden.test(first)) return undefined;
  const rawHeaders = end < 0 ? [] : readFields(text, end + 2);
  return rawHeaders && { status: Number(line[2]), httpVersion: line[1] ?? '', rawHeaders };
}

/** Reads lines of fields from `from` to the end, the last without its line end. Undefined when one is not proper. */
export function readFields(text: string, from = 0): string[] | undefined {
  const fields: string[] = [];
  for (let at = from; at < text.length; ) {
    const next = text.indexOf('\r\n', at);
    const end = next < 0 ? text.length : next;
    const colon = text.indexOf(':', at);
    // A line that begins with a space would go on with the one before it, for some readers.
    if (colon < 0 || colon >= end) return undefined;
    const name = text.slice(at, colon);
    const value = trimmed(text, colon + 1, end);
    if (!token.test(name) || forbidden.test(value)) return undefined;
    fields.push(name, value);
    at = end + 2;
  }
  return fields;
}

function trimmed(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start += 1;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

const isBlank = (code: number): boolean => code === 32 || code === 9;

/** All values of one header, in order. `name` is in lower case. */
export function headerValues(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const other = rawHeaders[i] ?? '';
    if (other.length === name.length && other.toLowerCase() === name) values.push(rawHeaders[i + 1] ?? '');
  }
  return values;
}

/** Whether a `Connection` header names an option, which is given in lower case. */
export function hasConnectionOption(rawHeaders: readonly string[], option: string): boolean {
  return headerValues(rawHeaders, 'connection').some((value) =>
    value.split(',').some((each) => each.trim().toLowerCase() === option),
  );
}

/**
 * How a request's body ends, where that can be read in one way only: not with both headers that say it, nor with one of
 * them twice (RFC 9112, section 6.3). A string is what is wrong.
 */
export function requestFraming(rawHeaders: readonly string[]): RequestFraming | string {
  const encodings = headerValues(rawHeaders, 'transfer-encoding');
  const lengths = headerValues(rawHeaders, 'content-length');
  if (encodings.length + lengths.length > 1) return "The end of the request's body is ambiguous.";
  if (encodings.length > 0) {
    if (encodings[0]?.toLowerCase() !== 'chunked') {
      return 'The only transfer encoding passed on is "chunked".';
    }
    return chunked;
  }
  const [length] = lengths;
  if (length === undefined) return noBody;
  if (!/^\d{1,15}$/.test(length)) return 'The Content-Length is not a number.';
  const bytes = Number(length);
  return bytes > 0 ? { kind: 'length', bytes } : noBody;
}

/** How an answer's body ends, to a request of this method. Undefined where that is ambiguous. */
export function responseFraming(
  { status, httpVersion, rawHeaders }: ResponseStart,
  method: string,
): Framing | undefined {
  const encodings = headerValues(rawHeaders, 'transfer-encoding');
  const lengths = headerValues(rawHeaders, 'content-length');
  if (encodings.length + lengths.length > 1) return undefined;
  const [length] = lengths;
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return undefined;
  if (encodings.length > 0 && (httpVersion !== '1.1' || encodings[0]?.toLowerCase() !== 'chunked')) {
    return undefined;
  }
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return noBody;
  if (encodings.length > 0) return chunked;
  if (length === undefined) return { kind: 'rest' };
  return { kind: 'length', bytes: Number(length) };
}

/** Fields by their names in lower case; of those that come more than once, a list. */
export function fieldsByName(pairs: readonly string[]): Record<string, string | string[]> {
  // A trailer may be named as what every object has.
  const named: Record<string, string | string[]> = Object.create(null);
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const name = pairs[i]?.toLowerCase() ?? '';
    const known = named[name];
    named[name] = known === undefined ? (pairs[i + 1] ?? '') : [known, pairs[i + 1] ?? ''].flat();
  }
  return named;
}
