import type { Grants } from '../../capabilities/capability.ts';
import type { ProviderName } from '../../store/schema.ts';
import type { ReadVaultCredential } from '../vault-credential.ts';
import { type HostPattern, hostPatternText, matchesHost } from './host-names.ts';
import { type ModelName, modelHosts } from './model-door.ts';
import type { ModelCredentials } from './protocol.ts';
import { type Refusal, refuse } from './refusal.ts';
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
  allowedHosts: readonly HostPattern[];
  /** Of its own vaults, then of its publication's, as they are listed. */
  credentials: readonly ReadVaultCredential[];
  /** `owner/repo`, lower case, of its GitHub anchors. */
  repositories: readonly string[];
}

/** What of the operator's settings the decision needs. */
export interface HouseRules {
  modelCredentials: ModelCredentials;
  upstreams: UpstreamMap;
}

export type Destination =
  | { kind: 'internal' }
  | { kind: 'model'; model: ModelName }
  | { kind: 'provider'; provider: ProviderName }
  /** Git over HTTP with the installation's token. */
  | { kind: 'git' }
  | { kind: 'listed'; rule: string };

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
 * May this session talk to this host and port at all? Pure, and answered before any name is looked up. `host` is
 * canonical.
 */
export function decideDestination(
  policy: SessionPolicy,
  host: string,
  port: number,
  rules: HouseRules,
): DestinationResult {
  if (policy.ended) return no('session.ended', 'This session has ended.');
  if (host === internalHost) {
    return port === 80
      ? yes({ kind: 'internal' })
      : no('port.not_allowed', `${internalHost} is reached by http on port 80.`);
  }
  const decided = decideName(policy, host, rules);
  if (!decided.ok || port === 443) return decided;
  return port === 80
    ? no('scheme.https_only', `${host} may be reached by https only.`)
    : no('port.not_allowed', `Port ${port} is not allowed; only https on port 443 is.`);
}

function decideName(policy: SessionPolicy, host: string, rules: HouseRules): DestinationResult {
  const tool = toolOnlyHosts.get(host);
  if (tool) {
    return no(
      'host.tools_only',
      `${host} is not reached directly. Use the MCP tools of ${tool} at http://${internalHost}/mcp/${tool}.`,
    );
  }
  return (
    decideModel(policy, host, rules) ?? decideProvider(policy, host) ?? decideListed(policy, host, rules)
  );
}

function decideModel(policy: SessionPolicy, host: string, rules: HouseRules): DestinationResult | undefined {
  const model = modelHosts.get(host);
  if (!model) return undefined;
  const configured =
    rules.modelCredentials[model] !== undefined ||
    rules.upstreams.maps(host, policy.publication?.emulated ?? false);
  return configured
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

function decideListed(policy: SessionPolicy, host: string, rules: HouseRules): DestinationResult {
  const pattern = policy.allowedHosts.find((candidate) => matchesHost(candidate, host));
  if (!pattern || rules.upstreams.isOwnName(host)) {
    return no(
      'host.not_allowed',
      `${host} is not on this publication's list of allowed hosts. An admin can add it in the publication's settings.`,
    );
  }
  return yes({ kind: 'listed', rule: `host:${hostPatternText(pattern)}` });
}
