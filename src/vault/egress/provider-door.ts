import type { Capability } from '../../capabilities/capability.ts';
import { decideFor } from '../../capabilities/decide.ts';
import type { ProviderName } from '../../store/schema.ts';
import { type Refusal, refuse } from './refusal.ts';
import { internalHost, type SessionPolicy } from './session-policy.ts';

/** An HTTP request at the second door. The same shape as the provider port's. */
export interface OutboundRequest {
  method: string;
  /** As sent, without query. */
  path: string;
  query: URLSearchParams;
}

/** The capability that a request needs, and the repository that it touches as `owner/repo`. */
export type RequestNeed =
  | { ok: true; capability: Capability; repository?: string }
  | { ok: false; reason: string };

/** Each provider's own mapping from requests to capabilities, given by who composes the process. */
export type RequestNeeds = Readonly<Partial<Record<ProviderName, (request: OutboundRequest) => RequestNeed>>>;

export type ProviderVerdict =
  | {
      ok: true;
      capability: Capability;
      /** What the token is narrowed to: `owner/repo`, lower case. */
      repositories: readonly string[];
    }
  | { ok: false; refusal: Refusal };

const no = (rule: string, message: string): ProviderVerdict => ({
  ok: false,
  refusal: refuse(rule, message),
});
const readMethods = new Set(['GET', 'HEAD']);

/**
 * The gate at the second door: what a request with the installation's credential needs, whether the publication has
 * it, and whether it stays within the session's own repositories. Pure.
 */
export function decideProviderRequest(
  policy: SessionPolicy,
  provider: ProviderName,
  request: OutboundRequest,
  needs: RequestNeeds,
): ProviderVerdict {
  const need = needs[provider]?.(request) ?? {
    ok: false as const,
    reason: `${provider} is not open at this door`,
  };
  if (!need.ok) {
    return no(
      `${provider}.unmapped`,
      `${request.method} ${request.path} is refused: ${need.reason}. Use the MCP tools of ${provider} at http://${internalHost}/mcp/${provider}.`,
    );
  }
  const grants = policy.publication?.grants ?? {};
  // A path says nothing of the anchor, so that what is written here may be anywhere in the repository.
  const circumstances = { readOutsiders: policy.readOutsiders, inAnchor: readMethods.has(request.method) };
  const { decision, reason } = decideFor(need.capability, grants, circumstances);
  if (decision === 'refused') return no(need.capability, reason);
  if (decision === 'waiting_for_approval') {
    return no(
      need.capability,
      `${reason} Ask for it with the MCP tools of ${provider} at http://${internalHost}/mcp/${provider}.`,
    );
  }
  const own = policy.repositories;
  const repository = need.repository?.toLowerCase();
  if (repository === undefined || own.includes(repository)) {
    return { ok: true, capability: need.capability, repositories: own };
  }
  const elsewhere: Capability = `${provider}:read.elsewhere`;
  if (readMethods.has(request.method) && decideFor(elsewhere, grants, circumstances).decision === 'allowed') {
    return { ok: true, capability: need.capability, repositories: [repository] };
  }
  return no(
    elsewhere,
    `${need.repository} is not a repository of this session, which has ${own.join(', ') || 'none'}. Reading elsewhere needs ${elsewhere}.`,
  );
}
