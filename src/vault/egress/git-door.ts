import type { Capability } from '../../capabilities/capability.ts';
import { decideFor } from '../../capabilities/decide.ts';
import type { GitCommands } from './git-commands.ts';
import { type OutboundRequest, ownBranchPrefix, type UpdateNeed } from './provider-door.ts';
import { type Refusal, refuse } from './refusal.ts';
import type { SessionPolicy } from './session-policy.ts';

/** A request of git's over HTTP: what it serves, and whether it only asks what there is. */
export type GitRequest =
  | {
      ok: true;
      service: 'upload-pack' | 'receive-pack';
      repository: string;
      place: Record<string, string>;
      discovers: boolean;
    }
  | { ok: false; reason: string };

/** What a provider knows of git on its host; given by who composes the process. */
export interface GitNeeds {
  request(request: OutboundRequest): GitRequest;
  /** The capability that one update of a push needs; undefined when none stands for it. */
  update: UpdateNeed;
}

export type GitVerdict =
  | {
      ok: true;
      capability: Capability;
      repositories: readonly string[];
      /** The body's commands are still to be judged. */
      pushes: boolean;
      /** Only what there is is asked for. */
      discovers: boolean;
      elsewhere: boolean;
      place: Record<string, string>;
    }
  | { ok: false; refusal: Refusal };

const no = (rule: string, message: string): GitVerdict => ({ ok: false, refusal: refuse(rule, message) });

/** The gate for git: reading is `repo.read`, pushing `repo.push`, each in this session's own repositories only. Pure. */
export function decideGitRequest(
  policy: SessionPolicy,
  request: OutboundRequest,
  needs: GitNeeds,
): GitVerdict {
  const asked = needs.request(request);
  if (!asked.ok) return no('github.git', `${request.method} ${request.path} is refused: ${asked.reason}.`);
  const pushes = asked.service === 'receive-pack';
  const capability: Capability = pushes ? 'github:repo.push' : 'github:repo.read';
  const grants = policy.publication?.grants ?? {};
  const circumstances = { readOutsiders: policy.readOutsiders, inAnchor: !pushes };
  const { decision, reason } = decideFor(capability, grants, circumstances);
  if (decision !== 'allowed') return no(capability, reason);
  const { discovers, place } = asked;
  const repository = asked.repository.toLowerCase();
  if (policy.repositories.includes(repository)) {
    const { repositories } = policy;
    return {
      ok: true,
      capability,
      repositories,
      pushes: pushes && !discovers,
      discovers,
      elsewhere: false,
      place,
    };
  }
  const elsewhere: Capability = 'github:read.elsewhere';
  if (!pushes && decideFor(elsewhere, grants, { ...circumstances, inAnchor: false }).decision === 'allowed') {
    const repositories = [repository];
    return { ok: true, capability, repositories, pushes: false, discovers, elsewhere: true, place };
  }
  return no(
    pushes ? capability : elsewhere,
    `${asked.repository} is not a repository of this session, which has ${policy.repositories.join(', ') || 'none'}. ${pushes ? 'A push elsewhere is not possible.' : `Reading elsewhere needs ${elsewhere}.`}`,
  );
}

/** The gate for what a push wants to change: all of it is allowed, or nothing is sent. Pure. */
export function decideGitCommands(
  policy: SessionPolicy,
  commands: Exclude<GitCommands, { state: 'more' }>,
  needs: GitNeeds,
): Refusal | undefined {
  if (commands.state === 'refused') return refuse('github.git', `This push is refused: ${commands.reason}.`);
  const own = ownBranchPrefix(policy);
  for (const update of commands.updates) {
    const capability = needs.update(update, own);
    const hint = `Push to a branch that begins with ${own}, and open a pull request.`;
    if (!capability) return refuse('github.git', `Nothing allows a push to ${update.ref}. ${hint}`);
    const circumstances = { readOutsiders: policy.readOutsiders, inAnchor: false };
    const { decision, reason } = decideFor(capability, policy.publication?.grants ?? {}, circumstances);
    if (decision !== 'allowed') return refuse(capability, `${update.ref}: ${reason} ${hint}`);
  }
  return undefined;
}
