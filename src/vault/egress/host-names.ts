import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';

export type HostName = { ok: true; host: string } | { ok: false; reason: 'malformed' | 'ip_literal' };

const plain = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
const notInNames = /[\u0000-\u0020\u007f%/\\?#@,;:[\]<>^|"'`{}()*+=&!$~]/;
const numericLabel = /^(?:\d+|0x[0-9a-f]*)$/;

/**
 * The one form of a host name that rules are compared with: lower case, ASCII, without its one trailing dot. What
 * names an address in any notation that a resolver understands (`127.1`, `0x7f.1`, `[::1]`) is an `ip_literal`;
 * whatever is no name at all is `malformed`. Neither is ever looked up.
 */
export function canonicalHost(input: string): HostName {
  if (input.includes(':') || input.startsWith('[')) {
    const inner = input.replace(/^\[|\]$/g, '').replace(/%.*$/s, '');
    return { ok: false, reason: isIP(inner) ? 'ip_literal' : 'malformed' };
  }
  // Everything that a URL parser would decode, drop or cut at is refused before one sees it.
  if (input === '' || input.length > 1_000 || notInNames.test(input)) {
    return { ok: false, reason: 'malformed' };
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the ASCII range.
  const ascii = (/^[\u0000-\u007f]*$/.test(input) ? input : domainToASCII(input)).toLowerCase();
  const host = ascii.endsWith('.') ? ascii.slice(0, -1) : ascii;
  const last = host.slice(host.lastIndexOf('.') + 1);
  // WHATWG URL: a host whose last label is a number is an IPv4 address or nothing.
  if (isIP(host) || numericLabel.test(last)) return { ok: false, reason: 'ip_literal' };
  if (host.length > 253 || !plain.test(host)) return { ok: false, reason: 'malformed' };
  return { ok: true, host };
}

/** `host` and `port` of a CONNECT target or of an absolute URL's authority. */
export type Authority =
  | { ok: true; host: string; port: number }
  | { ok: false; reason: 'malformed' | 'ip_literal' };

/** Splits and canonicalises `host:port`. Without a default the port must be there. */
export function parseAuthority(authority: string, defaultPort?: number): Authority {
  const match = /^(\[[^\]]*\]|[^:[\]]*)(?::(\d{1,5}))?$/.exec(authority);
  if (!match) {
    const name = canonicalHost(authority);
    return { ok: false, reason: name.ok ? 'malformed' : name.reason };
  }
  const name = canonicalHost(match[1] ?? '');
  if (!name.ok) return name;
  const digits = match[2];
  if (digits === undefined) {
    return defaultPort === undefined
      ? { ok: false, reason: 'malformed' }
      : { ok: true, host: name.host, port: defaultPort };
  }
  const port = Number(digits);
  if (digits.startsWith('0') || port > 65_535) return { ok: false, reason: 'malformed' };
  return { ok: true, host: name.host, port };
}

/** One rule of an allow-list: a name, or every name below a suffix. */
export interface HostPattern {
  kind: 'exact' | 'below';
  /** Canonical; for `below` without the leading `*.`. */
  name: string;
}

/**
 * Suffixes below which strangers register names, beside all single labels. Not the whole Public Suffix List: a
 * wildcard over one of the others is the admin's own mistake.
 */
const sharedSuffixes = new Set(
  (
    'co.uk org.uk ac.uk gov.uk com.au net.au org.au co.nz co.jp ne.jp or.jp co.kr com.cn com.br com.mx com.ar com.tr ' +
    'co.in co.za com.sg com.hk com.tw github.io gitlab.io pages.dev workers.dev vercel.app netlify.app herokuapp.com ' +
    'web.app firebaseapp.com appspot.com run.app fly.dev onrender.com azurewebsites.net cloudfront.net ' +
    'amazonaws.com s3.amazonaws.com blob.core.windows.net ngrok.io ngrok.app ngrok-free.app trycloudflare.com ' +
    'duckdns.org nip.io sslip.io'
  ).split(' '),
);

/** Names that never leave a machine or a network (RFC 6761, RFC 6762, ICANN's `internal`). */
const privateSuffix = /(?:^|\.)(?:localhost|local|internal|localdomain|home\.arpa|invalid|onion)$/;

/**
 * Reads one entry of `allowed_hosts`: an exact name, or `*.suffix` where the suffix is nobody's public one.
 * Undefined for anything else, so that a rule that cannot be understood allows nothing.
 */
export function parseHostPattern(text: unknown): HostPattern | undefined {
  if (typeof text !== 'string') return undefined;
  const below = text.startsWith('*.');
  const canonical = canonicalHost(below ? text.slice(2) : text);
  if (!canonical.ok || !canonical.host.includes('.') || privateSuffix.test(canonical.host)) return undefined;
  if (below && sharedSuffixes.has(canonical.host)) return undefined;
  return { kind: below ? 'below' : 'exact', name: canonical.host };
}

/** Whether a canonical name is meant by a rule. `*.example.com` means every name below it and not itself. */
export function matchesHost(pattern: HostPattern, host: string): boolean {
  return pattern.kind === 'exact'
    ? host === pattern.name
    : host.length > pattern.name.length + 1 && host.endsWith(`.${pattern.name}`);
}

/** A rule as an admin wrote it. */
export function hostPatternText(pattern: HostPattern): string {
  return pattern.kind === 'exact' ? pattern.name : `*.${pattern.name}`;
}
