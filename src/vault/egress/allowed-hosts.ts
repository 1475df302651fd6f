import { type HostPattern, hostPatternText, matchesHost, parseHostPattern } from './host-names.ts';

/** One entry of an allow-list: a host pattern, and the port on which https is spoken. */
export interface AllowedHost extends HostPattern {
  /** Undefined: 443. */
  port?: number;
}

const httpsPort = 443;
const portOf = ({ port }: AllowedHost): number => port ?? httpsPort;

/**
 * Reads `example.com`, `*.example.com` or either with `:8443`. Undefined for anything else, so that an entry that
 * cannot be understood allows nothing; port 80 too, on which no https is spoken.
 */
export function parseAllowedHost(text: unknown): AllowedHost | undefined {
  if (typeof text !== 'string') return undefined;
  const [, name, digits] = /^([^:]*)(?::([1-9]\d{0,4}))?$/.exec(text) ?? [];
  const pattern = parseHostPattern(name);
  const port = digits === undefined ? httpsPort : Number(digits);
  if (!pattern || port > 65_535 || port === 80) return undefined;
  return port === httpsPort ? pattern : { ...pattern, port };
}

/** What of a stored list can be understood. */
export function parseAllowedHosts(list: unknown): AllowedHost[] {
  return Array.isArray(list) ? list.flatMap((entry) => parseAllowedHost(entry) ?? []) : [];
}

/** The first entry that stands for this canonical host and port. */
export function findAllowedHost(
  list: readonly AllowedHost[],
  host: string,
  port: number,
): AllowedHost | undefined {
  return list.find((entry) => portOf(entry) === port && matchesHost(entry, host));
}

/** An entry as an admin writes it. */
export function allowedHostText(entry: AllowedHost): string {
  return entry.port === undefined ? hostPatternText(entry) : `${hostPatternText(entry)}:${entry.port}`;
}
