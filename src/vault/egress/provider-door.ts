import type { Capability } from '../../capabilities/capability.ts';
import { decideFor } from '../../capabilities/decide.ts';
import type { ProviderName } from '../../store/schema.ts';
import type { RefUpdate } from './git-commands.ts';
import { holdsMoreValues } from './json-values.ts';
import type { DoorWriter } from './protocol.ts';
import { type Refusal, refuse } from './refusal.ts';
import { internalHost, type SessionPolicy } from './session-policy.ts';

/** An HTTP request at the second door, as it was parsed. */
export interface OutboundRequest {
  method: string;
  /** As sent, without query. */
  path: string;
  query: URLSearchParams;
}

/** The capability that a request needs, and what it touches. */
export type RequestNeed =
  | {
      ok: true;
      capability: Capability;
      /** As `owner/repo`. */
      repository?: string;
      /** The same as the provider port addresses it. */
      place?: Record<string, string>;
      /** Whose text the answer holds, where it can be others' than those of people who may write there. */
      brings?: BroughtText;
      /** The branch or tag that it changes: its need is that of the same change by git. */
      changes?: { ref: string; kind: 'update' | 'delete' } | { refIn: 'body' };
    }
  | { ok: false; reason: string };

/** Whose text a read brings back. */
export type BroughtText =
  /** The answer names them; where it is in another form, the author of the pull request, where one is meant. */
  | { by: 'named'; pull?: string }
  /** Whoever wrote this pull request, and who can write to where it comes from. */
  | { by: 'pull'; pull: string }
  /** What only forks bring in from people who may not write here. */
  | { by: 'forks' }
  | { by: 'anybody' };

/** Each provider's own mapping from requests to capabilities, given by who composes the process. */
export type RequestNeeds = Readonly<Partial<Record<ProviderName, (request: OutboundRequest) => RequestNeed>>>;

/** Whose words an answer of a provider's API holds; undefined where it does not say it of all. */
export type WritersIn = Readonly<Partial<Record<ProviderName, (body: Buffer) => DoorWriter[] | undefined>>>;

export type ProviderVerdict =
  | {
      ok: true;
      capability: Capability;
      /** What the token is narrowed to: `owner/repo`, lower case. */
      repositories: readonly string[];
      writes: boolean;
      /** In no repository of the session's. */
      elsewhere: boolean;
      place?: Record<string, string>;
      brings?: BroughtText;
      /** The body names a new branch, which is still to be judged. */
      namesBranch: boolean;
    }
  | { ok: false; refusal: Refusal };

/** The capability for one change of a branch or tag; undefined when none stands for it. */
export type UpdateNeed = (update: RefUpdate, ownPrefix: string) => Capability | undefined;

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
  updateNeed?: UpdateNeed,
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
  const capability = capabilityOf(need, policy, updateNeed);
  const { decision, reason } = decideFor(capability, grants, circumstances);
  if (decision === 'refused') return no(capability, reason);
  if (decision === 'waiting_for_approval') {
    return no(
      capability,
      `${reason} Ask for it with the MCP tools of ${provider} at http://${internalHost}/mcp/${provider}.`,
    );
  }
  const own = policy.repositories;
  const repository = need.repository?.toLowerCase();
  const allowed = {
    ok: true,
    capability,
    writes: !readMethods.has(request.method),
    elsewhere: false,
    namesBranch: need.changes !== undefined && 'refIn' in need.changes,
    ...(need.place && { place: need.place }),
    ...(need.brings && { brings: need.brings }),
  } as const;
  if (repository === undefined || own.includes(repository)) return { ...allowed, repositories: own };
  const elsewhere: Capability = `${provider}:read.elsewhere`;
  if (readMethods.has(request.method) && decideFor(elsewhere, grants, circumstances).decision === 'allowed') {
    // Whoever may write there has no authority here by that.
    const brings = need.brings ?? ({ by: 'forks' } as const);
    return { ...allowed, repositories: [repository], elsewhere: true, brings };
  }
  return no(
    elsewhere,
    `${need.repository} is not a repository of this session, which has ${own.join(', ') || 'none'}. Reading elsewhere needs ${elsewhere}.`,
  );
}

/** A change of a branch by REST needs what the same change needs by git. Without that rule it is taken at its strictest. */
function capabilityOf(
  need: Extract<RequestNeed, { ok: true }>,
  policy: SessionPolicy,
  updateNeed: UpdateNeed | undefined,
): Capability {
  const { changes, capability } = need;
  if (!changes || 'refIn' in changes) return capability;
  return updateNeed?.(changes, ownBranchPrefix(policy)) ?? capability;
}

/** Branches that this session's agent may push to by itself begin so. */
export function ownBranchPrefix({ slug }: Pick<SessionPolicy, 'slug'>): string {
  return slug ? `tagalong/${slug}/` : 'tagalong/';
}

/** It holds two. */
const maxBranchValues = 100;

/**
 * The gate for a new branch that a body names: it needs what pushing it would. The body is answered as it was read, so
 * that the provider reads the same. Pure.
 */
export function decideNewBranch(
  policy: SessionPolicy,
  body: Buffer,
  updateNeed: UpdateNeed | undefined,
): { ok: true; body: Buffer } | { ok: false; refusal: Refusal } {
  let value: unknown;
  try {
    value = holdsMoreValues(body, maxBranchValues) ? undefined : JSON.parse(body.toString('utf8'));
  } catch {
    value = undefined;
  }
  const ref = typeof value === 'object' && value !== null && 'ref' in value ? value.ref : undefined;
  if (typeof ref !== 'string') {
    return {
      ok: false,
      refusal: refuse('github.git', 'The body must be a JSON object with a `ref` and little else.'),
    };
  }
  const own = ownBranchPrefix(policy);
  const capability = updateNeed?.({ ref, kind: 'create' }, own);
  const hint = `Make a branch that begins with ${own}, as refs/heads/${own}….`;
  if (!capability)
    return { ok: false, refusal: refuse('github.git', `Nothing allows to make ${ref}. ${hint}`) };
  const circumstances = { readOutsiders: policy.readOutsiders, inAnchor: false };
  const { decision, reason } = decideFor(capability, policy.publication?.grants ?? {}, circumstances);
  if (decision !== 'allowed') return { ok: false, refusal: refuse(capability, `${ref}: ${reason} ${hint}`) };
  return { ok: true, body: Buffer.from(JSON.stringify(value)) };
}
