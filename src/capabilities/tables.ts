import type { Grant, ProviderName } from '../store/schema.ts';
import type { CapabilityTable } from './capability.ts';

const grantAll = (grant: Grant, names: string): [string, Grant][] =>
  names.split(/\s+/).map((name): [string, Grant] => [name, grant]);

const table = (on: string, ask: string, off: string): CapabilityTable =>
  Object.freeze(
    Object.fromEntries([...grantAll('on', on), ...grantAll('ask', ask), ...grantAll('off', off)]),
  );

/**
 * The single source of what an agent may do: the tools that it sees, the requests that the egress process lets
 * through with a credential, the scopes that a manifest asks for, and what the console shows. Per provider: on by
 * default, asked by default, and off unless granted.
 */
export const capabilityTables: Readonly<Record<ProviderName, CapabilityTable>> = {
  slack: table(
    'message.read thread.reply reaction.add reaction.remove user.read file.read file.write',
    'message.write canvas.write',
    'message.update message.delete read.elsewhere search.read channel.mention dm.write',
  ),
  github: table(
    'issue.read comment.write label.add label.remove pr.read pr.create pr.update pr.review.write repo.read repo.push repo.branch.create workflow.read release.read',
    'issue.create issue.update assignee.set repo.push.pr_head',
    'read.elsewhere search.read pr.merge pr.close issue.delete comment.delete repo.push.default repo.branch.delete workflow.dispatch workflow.write release.create graphql.read',
  ),
  linear: table(
    'issue.read comment.write status.set label.add label.remove',
    'issue.create issue.update subissue.create priority.set',
    'read.elsewhere search.read assignee.set issue.delete comment.delete graphql.read',
  ),
};
