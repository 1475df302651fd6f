import { isAtOrBelow, parsePathPrefix, pathPrefixText } from '../path-prefix.ts';
import { type HostPattern, hostPatternText, matchesHost, parseHostPattern } from './host-names.ts';
import { parseTarget } from './request-target.ts';

/** One entry of an allow-list: a host pattern, the port on which https is spoken, and what of it is meant. */
export interface AllowedHost extends HostPattern {
  /** Undefined: 443. */
  port?: number;
  /** The path at and below which requests are meant; undefined for all of the host. */
  segments?: readonly string[];
}

const httpsPort = 443;
const portOf = ({ port }: AllowedHost): number => port ?? httpsPort;

/**
 * Reads `example.com`, `*.example.com`, either with `:8443`, with a path as `/v1`, or both. Undefined for anything else,
 * so that an entry that cannot be understood allows nothing; port 80 too, on which no https is spoken.
 */
export function parseAllowedHost(text: unknown): AllowedHost | undefined {
  if (typeof text !== 'string') return undefined;
  const [, name, digits, path] = /^([^:/]*)(?::([1-9]\d{0,4}))?(\/.*)?$/.exec(text) ?? [];
  const pattern = parseHostPattern(name);
  const port = digits === undefined ? httpsPort : Number(digits);
  const segments = path === undefined ? [] : readPath(path);
  if (!pattern || !segments || port > 65_535 || port === 80) return undefined;
  return {
    ...pattern,
    ...(port === httpsPort ? {} : { port }),
    ...(segments.length > 0 ? { segments } : {}),
  };
}

/**
 * A path that no request could have, or a `*` that is meant as more than itself, would stand there and allow nothing; a
 * comma would end the entry wherever a list is typed.
 */
function readPath(path: string): string[] | undefined {
  return parseTarget(path).ok && !/[*,]/.test(path) ? parsePathPrefix(path) : undefined;
}

/** What of a stored list can be understood. */
export function parseAllowedHosts(list: unknown): AllowedHost[] {
  return Array.isArray(list) ? list.flatMap((entry) => parseAllowedHost(entry) ?? []) : [];
}

/**
 * The first entry that stands for this canonical host and port, and for the path of the request. Without a path,
 * as for a tunnel in which none is known yet, what the entry says of one does not count.
 */
export function findAllowedHost(
  list: readonly AllowedHost[],
  host: string,
  port: number,
  path?: string,
): AllowedHost | undefined {
  return list.find(
    (entry) =>
      portOf(entry) === port &&
      matchesHost(entry, host) &&
      (entry.segments === undefined || path === undefined || isAtOrBelow(entry.segments, path)),
  );
}

/** The paths to which a list narrows this host and port, each once, as an admin writes them. */
export function allowedPaths(list: readonly AllowedHost[], host: string, port: number): string[] {
  const found = list.filter((entry) => portOf(entry) === port && matchesHost(entry, host));
  return [...new Set(found.flatMap(({ segments }) => (segments ? [pathPrefixText(segments)] : [])))];
}

/** An entry as an admin writes it. */
export function allowedHostText(entry: AllowedHost): string {
  const port = entry.port === undefined ? '' : `:${entry.port}`;
  const path = entry.segments ? pathPrefixText(entry.segments) : '';
  return `${hostPatternText(entry)}${port}${path}`;
}
