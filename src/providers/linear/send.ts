import { AgentActivitySignal } from '@linear/sdk';
import { type ProviderContext, ProviderError, type ToolResult, type ToolTarget } from '../provider.ts';
import { callLinear, isNotFound, linearClient } from './client.ts';
import { withHops } from './hops-id.ts';

export type ActivityType = 'thought' | 'response' | 'error' | 'elicitation';

/** What a person can choose from, beside writing what they like. */
export interface Choice {
  label: string;
  value: string;
}

/** The agent session that a tool acts in. Throws ProviderError `refused` for a place that is none. */
export function agentSessionOf(target: ToolTarget): string {
  const id = target.place.agent_session_id;
  if (!id) throw new ProviderError('refused', 'The place is not a Linear agent session.');
  return id;
}

/** The issue of the agent session. Throws ProviderError `refused` where it is about something else. */
export function issueOf(target: ToolTarget): string {
  const id = target.place.issue_id;
  if (!id) throw new ProviderError('refused', 'This Linear agent session is not about an issue.');
  return id;
}

/**
 * Adds an activity to the agent session. The mark is its id, so a repeat is refused by Linear; whatever it calls that
 * refusal, an activity that is there has been sent.
 */
export async function addActivity(
  context: ProviderContext,
  type: ActivityType,
  text: string,
  target: ToolTarget,
  mark: string,
  choices?: readonly Choice[],
): Promise<ToolResult> {
  const agentSessionId = agentSessionOf(target);
  const client = linearClient(context.fetch);
  const id = withHops(mark, target.hops);
  const select = choices && { signal: AgentActivitySignal.Select, signalMetadata: { options: choices } };
  return onceOnly(
    () =>
      callLinear('the activity', () =>
        client.createAgentActivity({ id, agentSessionId, content: { type, body: text }, ...select }),
      ),
    () => findActivity(context, target, mark),
    { text: 'Said in the agent session.', ref: { agent_activity_id: id } },
  );
}

/** Looks for the activity with this id, in this session. */
export async function findActivity(
  context: ProviderContext,
  target: ToolTarget,
  mark: string,
): Promise<ToolResult | undefined> {
  const sessionId = agentSessionOf(target);
  const id = withHops(mark, target.hops);
  const found = await orUndefined(() =>
    callLinear('the activity', () => linearClient(context.fetch).agentActivity(id)),
  );
  if (!found || (found.agentSessionId !== undefined && found.agentSessionId !== sessionId)) return undefined;
  return { text: 'Said in the agent session.', ref: { agent_activity_id: id } };
}

/** Writes a comment on the session's issue. The mark is its id. */
export async function comment(
  context: ProviderContext,
  body: string,
  target: ToolTarget,
  mark: string,
): Promise<ToolResult> {
  const issueId = issueOf(target);
  const id = withHops(mark, target.hops);
  return onceOnly(
    () => callLinear('the comment', () => linearClient(context.fetch).createComment({ id, issueId, body })),
    () => findComment(context, target, mark),
    { text: 'Commented on the issue.', ref: { comment_id: id } },
  );
}

/** Looks for the comment with this id, on this issue. */
export async function findComment(
  context: ProviderContext,
  target: ToolTarget,
  mark: string,
): Promise<ToolResult | undefined> {
  const issueId = issueOf(target);
  const id = withHops(mark, target.hops);
  const found = await orUndefined(() =>
    callLinear('the comment', () => linearClient(context.fetch).comment({ id })),
  );
  if (!found || (found.issueId !== undefined && found.issueId !== issueId)) return undefined;
  return { text: 'Commented on the issue.', ref: { comment_id: id } };
}

/** Creates what has an id of ours; where Linear refuses, because it may be there already, what is there counts. */
export async function onceOnly(
  create: () => Promise<{ success: boolean }>,
  find: () => Promise<ToolResult | undefined>,
  result: ToolResult,
): Promise<ToolResult> {
  let refusal: unknown = new ProviderError('refused', 'Linear said that it did not succeed.');
  try {
    const answer = await create();
    if (answer.success) return result;
  } catch (error) {
    if (!(error instanceof ProviderError) || error.code !== 'refused') throw error;
    refusal = error;
  }
  const present = await find();
  if (!present) throw refusal;
  return present;
}

/** What Linear does not know is undefined. */
export async function orUndefined<T>(look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look();
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
