import type { Dispatcher } from 'undici';

/**
 * Names under which servers look for who somebody is, for whom they speak, or what they really mean. Compared in
 * folded form: many servers read `X_Api_Key` and `X.Api.Key` as `x-api-key`.
 */
const stripped = new Set([
  'authorization',
  'cookie',
  'cookie2',
  'x-api-key',
  'x-goog-api-key',
  'api-key',
  'apikey',
  'x-auth-token',
  'x-access-token',
  'private-token',
  'job-token',
  'x-github-token',
  'x-amz-security-token',
  'x-aws-ec2-metadata-token',
  'x-aws-ec2-metadata-token-ttl-seconds',
  'metadata-flavor',
  'metadata',
  'forwarded',
  'x-real-ip',
  'x-original-url',
  'x-original-host',
  'x-rewrite-url',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'via',
]);
const strippedPrefixes = ['proxy-', 'x-forwarded-', 'x-tagalong-', 'x-authorization'];

/** Belong to one connection (RFC 9110, section 7.6.1) or are said anew for the next. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);
const saidAnew = new Set(['host', 'content-length', 'expect']);

const folded = new Map<string, string>();
const maxFolded = 1_000;
const maxFoldedLength = 64;

/** Lower case, with `_` and `.` read as `-`. Nearly all names were seen before, so they are remembered. */
export function foldHeaderName(name: string): string {
  const known = folded.get(name);
  if (known !== undefined) return known;
  const fresh = name.toLowerCase().replace(/[_.]/g, '-');
  if (name.length > maxFoldedLength) return fresh;
  if (folded.size >= maxFolded) folded.clear();
  folded.set(name, fresh);
  return fresh;
}

function nominated(pairs: readonly string[]): Set<string> {
  const names = new Set<string>();
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    if (pairs[i]?.toLowerCase() !== 'connection') continue;
    for (const name of (pairs[i + 1] ?? '').split(',')) names.add(foldHeaderName(name.trim()));
  }
  return names;
}

function filter(pairs: readonly string[], drop: (folded: string) => boolean): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const name = pairs[i] ?? '';
    if (!drop(foldHeaderName(name))) kept.push(name, pairs[i + 1] ?? '');
  }
  return kept;
}

/**
 * What of an inbound request's headers goes on, as a flat list of names and values: without credentials, without
 * claims about who asks or what is really asked, without what belongs to this connection. Host and framing are the
 * caller's to add.
 */
export function forwardedRequestHeaders(pairs: readonly string[]): string[] {
  const alsoDropped = nominated(pairs);
  return filter(
    pairs,
    (name) =>
      stripped.has(name) ||
      hopByHop.has(name) ||
      saidAnew.has(name) ||
      alsoDropped.has(name) ||
      strippedPrefixes.some((prefix) => name.startsWith(prefix)),
  );
}

/** An upstream's header fields as names and values in turn, in latin1. */
export function rawPairs(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  if (!Array.isArray(raw)) {
    return Object.entries(raw ?? {}).flatMap(([name, value]) =>
      name.startsWith(':') ? [] : [value ?? []].flat().flatMap((each) => [name, each]),
    );
  }
  return raw.map((part: string | Buffer) => (typeof part === 'string' ? part : part.toString('latin1')));
}

/** What of an upstream's response headers goes back: without what belongs to its connection, and no way around us. */
export function forwardedResponseHeaders(pairs: readonly string[]): string[] {
  const alsoDropped = nominated(pairs);
  return filter(
    pairs,
    (name) =>
      hopByHop.has(name) ||
      alsoDropped.has(name) ||
      name === 'alt-svc' ||
      name === 'alternate-protocol' ||
      name.startsWith('x-tagalong-'),
  );
}

/** Fields that mean something only before a body (RFC 9110, section 6.5.1), beside those that are never passed on. */
const notInTrailers = new Set([
  'set-cookie',
  'www-authenticate',
  'authentication-info',
  'content-encoding',
  'content-type',
  'content-range',
  'content-location',
  'cache-control',
  'expires',
  'date',
  'location',
  'retry-after',
  'vary',
  'age',
  'alt-svc',
  'alternate-protocol',
  'max-forwards',
  'pragma',
  'range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'origin',
  'referer',
]);

function isNoTrailer(folded: string): boolean {
  return (
    hopByHop.has(folded) ||
    saidAnew.has(folded) ||
    stripped.has(folded) ||
    notInTrailers.has(folded) ||
    strippedPrefixes.some((prefix) => folded.startsWith(prefix))
  );
}

/**
 * What of the fields after a request's body goes on, names and values in turn: by the rules for answers, and nothing
 * that says anew what stands in `headers`, such as the credential that was put on.
 */
export function forwardedRequestTrailers(pairs: readonly string[], headers: readonly string[]): string[] {
  const said = new Set(headers.flatMap((name, i) => (i % 2 === 0 ? [foldHeaderName(name)] : [])));
  return filter(pairs, (name) => isNoTrailer(name) || said.has(name));
}

/** What of the fields after an upstream's body goes back: names and values, cleaned by `clean`. */
export function forwardedTrailers(
  trailers: Readonly<Record<string, string | string[] | undefined>>,
  clean: (value: string) => string,
): [string, string][] {
  const kept: [string, string][] = [];
  for (const [name, value] of Object.entries(trailers)) {
    if (value === undefined || isNoTrailer(foldHeaderName(name))) continue;
    for (const each of [value].flat()) kept.push([name, clean(each)]);
  }
  return kept;
}

/** Whether a header may hold a session's credential: not one of the connection's, nor one that says who asks. */
export function mayCarryCredential(name: string): boolean {
  const folded = foldHeaderName(name);
  return (
    !hopByHop.has(folded) &&
    !saidAnew.has(folded) &&
    (folded.startsWith('x-authorization') || !strippedPrefixes.some((prefix) => folded.startsWith(prefix)))
  );
}

/** Puts one header on, in the place of any that a server could read as the same. */
export function withHeader(pairs: readonly string[], name: string, value: string): string[] {
  const folded = foldHeaderName(name);
  return [...filter(pairs, (other) => other === folded), name, value];
}

/** Whether a secret can be a header's value: visible ASCII with single spaces inside, nothing that ends a line. */
export function isHeaderValue(value: string): boolean {
  return /^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/.test(value);
}
