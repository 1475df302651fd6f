import { ConfigError } from '../../config.ts';
import { type AllowedHost, parseAllowedHost } from './allowed-hosts.ts';
import { canonicalHost } from './host-names.ts';
import type { Upstream } from './protocol.ts';

/**
 * The bound that the operator sets over what any tenant may open. Throws a ConfigError that names each entry that
 * cannot be understood: a bound that is not what was meant is none.
 */
export function readCeiling(entries: readonly string[] | undefined): AllowedHost[] | undefined {
  const problems: string[] = [];
  const read = entries?.flatMap((entry) => {
    const host = parseAllowedHost(entry);
    if (host) return [host];
    problems.push(
      `TAGALONG_ALLOWED_HOSTS is wrong: "${entry}" is no public host. It takes names as example.com, *.example.com, example.com:8443 or example.com/path, with commas between them.`,
    );
    return [];
  });
  if (problems.length > 0) throw new ConfigError(problems);
  return read;
}

/**
 * The operator's own mappings from a name inside to an origin, added to those of the vendors. Throws a ConfigError for a
 * name that is none, or that a vendor has.
 */
export function withOwnUpstreams(
  vendors: readonly Upstream[],
  own: readonly { host: string; target: string }[],
): Upstream[] {
  const taken = new Set([...vendors.map(({ host }) => host), ...reserved]);
  const problems: string[] = [];
  const added = own.flatMap(({ host, target }): Upstream[] => {
    const name = canonicalHost(host);
    if (name.ok && parseAllowedHost(host) && !host.startsWith('*') && !taken.has(name.host)) {
      return [{ host: name.host, pathPrefix: '/', target, scope: 'all' }];
    }
    problems.push(
      taken.has(host)
        ? `TAGALONG_UPSTREAMS is wrong: ${host} has a setting of its own, as SLACK_API_URL or ANTHROPIC_BASE_URL.`
        : `TAGALONG_UPSTREAMS is wrong: "${host}" is no name that a session could ask for. It takes name=URL, with commas between them.`,
    );
    return [];
  });
  if (problems.length > 0) throw new ConfigError(problems);
  return [...vendors, ...added];
}

/** Names that mean something of their own in the egress process. */
const reserved = [
  'slack.com',
  'files.slack.com',
  'api.github.com',
  'github.com',
  'api.linear.app',
  'api.anthropic.com',
  'api.openai.com',
  'generativelanguage.googleapis.com',
];
