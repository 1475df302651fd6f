import type { Grants } from '../../capabilities/capability.ts';
import type { ProviderName } from '../../store/schema.ts';
import type { ReadVaultCredential } from '../vault-credential.ts';
import { type AllowedHost, allowedHostText, allowedPaths, findAllowedHost } from './allowed-hosts.ts';
import { type HostPattern, hostPatternText, matchesHost, parseHostPattern } from './host-names.ts';
import { type ModelName, modelHosts } from './model-door.ts';
import type { Networking } from './networking.ts';
import { packageHosts } from './package-hosts.ts';
import type { ModelCredentials } from './protocol.ts';
import { type Refusal, refuse } from './refusal.ts';
import { opaqueTokenRefusal } from './token-endpoints.ts';
import type { UpstreamMap } from './upstreams.ts';

/** What a session may reach, as the database says. */
export interface SessionPolicy {
  organizationId: string;
  sessionId: string;
  /** Archived or terminated: nothing is passed on any more. */
  ended: boolean;
  /** Null for a session that was not started in a provider. */
  publication: {
    id: string;
    provider: ProviderName;
    live: boolean;
    emulated: boolean;
    grants: Grants;
  } | null;
  installationId: string | null;
  /** Text by people without authority is in its context. */
  readOutsiders: boolean;
  /** What the provider calls our app; part of the names of its branches. */
  slug: string | null;
  /** Of its publication. */
  allowedHosts: readonly AllowedHost[];
  /** Hosts whose TLS is left alone; they get no credential. */
  passthroughHosts: readonly HostPattern[];
  /** Of its environment. */
  networking: Networking;
  /** Of its own vaults, then of its publication's, as they are listed, then what it was granted for a while. */
  credentials: readonly ReadVaultCredential[];
  /** `owner/repo`, lower case, of its GitHub anchors. */
  repositories: readonly string[];
}

/** What of the operator's settings the decision needs. */
export interface HouseRules {
  modelCredentials: ModelCredentials;
  upstreams: UpstreamMap;
  /** What no tenant's setting exceeds; undefined where the operator set no such bound. */
  ceiling?: readonly AllowedHost[] | undefined;
}

export type Destination =
  | { kind: 'internal' }
  | { kind: 'model'; model: ModelName }
  | { kind: 'provider'; provider: ProviderName }
  /** Git over HTTP with the installation's token. */
  | { kind: 'git' }
  | { kind: 'listed'; rule: string; readOnly: boolean }
  /** Its TLS is left alone. */
  | { kind: 'opaque'; rule: string };

export type DestinationResult = { ok: true; destination: Destination } | { ok: false; refusal: Refusal };

export const internalHost = 'tagalong.internal';
/** The provider hosts that sandboxes may reach with the installation's credential. */
const providerHosts: ReadonlyMap<string, ProviderName> = new Map([['api.github.com', 'github']]);
const gitHost = 'github.com';
/** Reached through the MCP tools only: these APIs have one path for everything, so a path says nothing. */
const toolOnlyHosts: ReadonlyMap<string, ProviderName> = new Map([
  ['slack.com', 'slack'],
  ['files.slack.com', 'slack'],
  ['api.linear.app', 'linear'],
]);

const no = (rule: string, message: string): DestinationResult => ({
  ok: false,
  refusal: refuse(rule, message),
});
const yes = (destination: Destination): DestinationResult => ({ ok: true, destination });

/**
 * May this session talk to this host and port at all, and once a request says a path, to that? Pure, and answered before
 * any name is looked up. `host` is canonical, `path` as sent and without its query.
 */
export function decideDestination(
  policy: SessionPolicy,
  host: string,
  port: number,
  rules: HouseRules,
  path?: string,
): DestinationResult {
  if (policy.ended) return no('session.ended', 'This session has ended. A new one can go on.');
  if (host === internalHost) {
    return port === 80
      ? yes({ kind: 'internal' })
      : no('port.not_allowed', `${internalHost} is reached by http on port 80.`);
  }
  if (port !== 443 && port !== 80) return decideOtherPort(policy, host, port, rules, path);
  const decided = decideName(policy, host, rules, path);
  return decided.ok && port === 80
    ? no('scheme.https_only', `${host} may be reached by https only: use https://${host}/.`)
    : decided;
}

/** Whatever has a meaning of its own has it on 443; any other port opens by being listed. */
function decideOtherPort(
  policy: SessionPolicy,
  host: string,
  port: number,
  rules: HouseRules,
  path: string | undefined,
): DestinationResult {
  const listed = decideListed(policy, host, port, rules, path);
  if (!listed.ok && listed.refusal.rule.startsWith('path.')) return listed;
  if (listed.ok && !hasOwnMeaning(host) && !isMapped(policy, host, rules)) return listed;
  return decideName(policy, host, rules, undefined).ok || listed.ok
    ? no(
        'port.not_allowed',
        `Port ${port} of ${host} is not allowed, only https on 443. An admin can list ${host}:${port}.`,
      )
    : listed;
}

const hasOwnMeaning = (host: string): boolean =>
  toolOnlyHosts.has(host) || modelHosts.has(host) || providerHosts.has(host) || host === gitHost;

const isMapped = ({ publication }: SessionPolicy, host: string, { upstreams }: HouseRules): boolean =>
  upstreams.maps(host, publication?.emulated ?? false);

function decideName(
  policy: SessionPolicy,
  host: string,
  rules: HouseRules,
  path: string | undefined,
): DestinationResult {
  const tool = toolOnlyHosts.get(host);
  if (tool) {
    return no(
      'host.tools_only',
      `${host} is not reached directly. Use the MCP tools of ${tool} at http://${internalHost}/mcp/${tool}.`,
    );
  }
  return (
    decideModel(policy, host, rules) ??
    decideProvider(policy, host) ??
    decideListed(policy, host, 443, rules, path)
  );
}

function decideModel(policy: SessionPolicy, host: string, rules: HouseRules): DestinationResult | undefined {
  const model = modelHosts.get(host);
  if (!model) return undefined;
  return rules.modelCredentials[model] !== undefined || isMapped(policy, host, rules)
    ? yes({ kind: 'model', model })
    : no('model.not_configured', `No key for ${host} is configured. The operator can set one.`);
}

function decideProvider(policy: SessionPolicy, host: string): DestinationResult | undefined {
  const isGit = host === gitHost;
  const provider = isGit ? 'github' : providerHosts.get(host);
  if (!provider || policy.publication?.provider !== provider) return undefined;
  return policy.publication.live
    ? yes(isGit ? { kind: 'git' } : { kind: 'provider', provider })
    : no(
        'publication.not_live',
        `This agent's ${provider} publication is not live. An admin can reconnect it.`,
      );
}

function decideListed(
  policy: SessionPolicy,
  host: string,
  port: number,
  rules: HouseRules,
  path: string | undefined,
): DestinationResult {
  const passed =
    port === 443 ? policy.passthroughHosts.find((candidate) => matchesHost(candidate, host)) : undefined;
  const listed = listedBy(policy, host, port, rules, path);
  const destination: Destination | undefined = passed
    ? { kind: 'opaque', rule: `passthrough:${hostPatternText(passed)}` }
    : listed && { kind: 'listed', readOnly: false, ...listed };
  if (!destination || rules.upstreams.isOwnName(host)) {
    return (
      otherPaths(tenantHosts(policy), host, port, path) ??
      no(
        'host.not_allowed',
        `${host} is not on the list of allowed hosts. An admin can add it to allowed_hosts of this session's environment or of its publication.`,
      )
    );
  }
  // Where no path can be read, a bound that names paths does not hold: only one for the whole host does.
  if (rules.ceiling && !findAllowedHost(rules.ceiling, host, port, passed ? '/' : path)) {
    return (
      otherPaths(rules.ceiling, host, port, path, 'ceiling') ??
      no(
        'host.ceiling',
        `${host} is beyond what any session on this server may reach. The operator can add it to TAGALONG_ALLOWED_HOSTS.`,
      )
    );
  }
  const refusal = passed && opaqueTokenRefusal(policy.credentials, host);
  return refusal ? { ok: false, refusal } : yes(destination);
}

const maxPathsSaid = 8;

/** Says which paths of a host would do, where a list narrows it to some. */
function otherPaths(
  list: readonly AllowedHost[],
  host: string,
  port: number,
  path: string | undefined,
  by: 'not_allowed' | 'ceiling' = 'not_allowed',
): DestinationResult | undefined {
  const paths = path === undefined ? [] : allowedPaths(list, host, port);
  if (paths.length === 0) return undefined;
  const said = paths.slice(0, maxPathsSaid).join(', ') + (paths.length > maxPathsSaid ? ' …' : '');
  const who =
    by === 'ceiling'
      ? 'The operator can add another to TAGALONG_ALLOWED_HOSTS.'
      : "An admin can add another to allowed_hosts of this session's environment or of its publication.";
  return no(
    `path.${by}`,
    `Of ${host} only these paths, and what is below them, may be reached: ${said}. ${who}`,
  );
}

const tenantHosts = ({ allowedHosts, networking }: SessionPolicy): readonly AllowedHost[] =>
  networking.kind === 'limited' ? [...allowedHosts, ...networking.allowedHosts] : allowedHosts;

/** Which setting of the tenant's names this host, port and path, the one that allows most first. */
function listedBy(
  policy: SessionPolicy,
  host: string,
  port: number,
  rules: HouseRules,
  path: string | undefined,
): { rule: string; readOnly?: true } | undefined {
  const { allowedHosts, networking } = policy;
  const own = findAllowedHost(allowedHosts, host, port, path);
  if (own) return { rule: `host:${allowedHostText(own)}` };
  if (networking.kind === 'unrestricted') {
    // What the operator maps may lead inside, and is meant only where somebody lists it.
    const isPublic = port === 443 && parseHostPattern(host) !== undefined && !isMapped(policy, host, rules);
    return isPublic ? { rule: 'environment:unrestricted' } : undefined;
  }
  const listed = findAllowedHost(networking.allowedHosts, host, port, path);
  if (listed) return { rule: `environment:${allowedHostText(listed)}` };
  if (port !== 443) return undefined;
  if (networking.mcpServers && mcpServerHosts(policy).includes(host)) return { rule: 'environment:mcp' };
  const registry = networking.packageManagers ? packageHosts.get(host) : undefined;
  return registry === undefined ? undefined : { rule: `packages:${registry}`, readOnly: true };
}

/** The hosts of the MCP servers that its vaults hold a credential for. */
function mcpServerHosts({ credentials }: SessionPolicy): string[] {
  return credentials.flatMap(({ rule, detail }) =>
    rule && typeof detail.auth.mcp_server_url === 'string' ? [rule.host] : [],
  );
}

/** Whether a session may have the model's vendor reach out for it: only where nothing bounds what it reaches itself. */
export function mayReachThroughModel({ networking }: SessionPolicy, { ceiling }: HouseRules): boolean {
  return networking.kind === 'unrestricted' && ceiling === undefined;
}
