import { parseCredentialRule } from './credential-rules.ts';
import { type HostPattern, hostPatternText, matchesHost, parseHostPattern } from './egress/host-names.ts';
import { readTokenEndpoint } from './token-endpoint.ts';
import type { VaultCredentialDetail } from './vault-credential.ts';

/** What a credential has to do at a host that is passed through unread, where nothing can be done. */
export interface PassthroughClaim {
  /** The entry of the list. */
  entry: string;
  claim: 'is put on' | 'is filled in' | 'gets its tokens';
}

/** Names of a credential's rule: itself, or with exactly one more label. */
interface RuleHost {
  host: string;
  oneBelow: boolean;
}

/** The first host of a passthrough list at which a credential would have something to do; undefined for none. Pure. */
export function findPassthroughClaim(
  passthroughHosts: readonly string[],
  { rule: text, variable, oauth }: Pick<VaultCredentialDetail, 'rule' | 'variable' | 'oauth'>,
): PassthroughClaim | undefined {
  const rule = text && parseCredentialRule(text);
  const endpoint = readTokenEndpoint(oauth?.refresh?.tokenEndpoint);
  // One for every host that may be reached is not for this one in particular.
  const filled = variable?.hosts?.flatMap((host) => parseHostPattern(host) ?? []) ?? [];
  for (const pattern of passthroughHosts.flatMap((host) => parseHostPattern(host) ?? [])) {
    const entry = hostPatternText(pattern);
    if (rule && meetsRule(pattern, rule)) return { entry, claim: 'is put on' };
    if (endpoint && matchesHost(pattern, endpoint.host)) return { entry, claim: 'gets its tokens' };
    if (filled.some((host) => meets(pattern, host))) return { entry, claim: 'is filled in' };
  }
  return undefined;
}

/** Whether there is a name that both stand for. */
function meetsRule(pattern: HostPattern, { host, oneBelow }: RuleHost): boolean {
  if (!oneBelow) return matchesHost(pattern, host);
  if (pattern.kind === 'exact') return pattern.name.slice(pattern.name.indexOf('.') + 1) === host;
  return host === pattern.name || host.endsWith(`.${pattern.name}`);
}

/** Whether there is a name that both stand for, where either may stand for all below it. */
function meets(a: HostPattern, b: HostPattern): boolean {
  if (a.kind === 'exact') return matchesHost(b, a.name);
  if (b.kind === 'exact') return matchesHost(a, b.name);
  return a.name === b.name || a.name.endsWith(`.${b.name}`) || b.name.endsWith(`.${a.name}`);
}
