import {
  type ProviderContext,
  ProviderError,
  type ProviderTool,
  type ToolResult,
} from '../providers/provider.ts';
import { withOrganization } from '../store/organization.ts';
import { readAudienceOf } from '../store/outsiders.ts';
import type { Audience } from '../store/schema.ts';
import { isAsApproved } from './approvals/binding.ts';
import { type Askers, loadAskers, objectionToAsker, reachesOut } from './asker-check.ts';
import { boundedFetch, untilAborted } from './bounded-fetch.ts';
import { boundText, cleanText, textOf } from './clean-text.ts';
import type { SendDependencies, SendLimits } from './dependencies.ts';
import { objectionToPlace } from './place-check.ts';
import type { OutboxRow } from './queue.ts';
import { performRead } from './readings.ts';
import { type ActionTarget, loadTarget } from './target.ts';

/** What one try came to. */
export type Outcome =
  | { kind: 'sent'; result: ToolResult }
  /** `tell`: what people are told in the anchor instead. */
  | { kind: 'failed'; reason: string; tell?: string }
  | { kind: 'later'; error: ProviderError };

/** Longest result text that is kept with an action. */
const maxResultChars = 16_384;

/**
 * One try to send a row that `takeNext` gave out: looked for at the provider first when an earlier try may have arrived,
 * performed when it is not there. @throws the reason of `lost` when that is aborted, and what the database throws.
 */
export async function attemptRow(
  dependencies: SendDependencies,
  limits: SendLimits,
  organizationId: string,
  row: OutboxRow,
  lost: AbortSignal,
): Promise<Outcome> {
  const tool = dependencies.adapters[row.provider].tools.find((each) => each.name === row.tool);
  if (!tool) return { kind: 'failed', reason: `The tool ${row.tool} does not exist in this version.` };
  const { found, approved, askers, read } = await withOrganization(
    dependencies.database,
    organizationId,
    async (tx) => ({
      found: await loadTarget(tx, row),
      approved: await isAsApproved(tx, row.actionId),
      askers: restsOnAsker(tool) ? await loadAskers(tx, row) : undefined,
      read: await readAudienceOf(tx, row.sessionId),
    }),
  );
  if (!found || (restsOnAsker(tool) && !askers))
    return { kind: 'failed', reason: 'The place where it belongs is gone.' };
  if (!approved)
    return { kind: 'failed', reason: 'It is not what people approved any more, so it was not sent.' };
  const deadline = AbortSignal.any([lost, AbortSignal.timeout(limits.callMs)]);
  const progress: Progress = { unknown: row.state === 'sending', performing: false };
  try {
    const result = await call(
      dependencies,
      organizationId,
      row,
      tool,
      { ...found, askers, read },
      deadline,
      progress,
    );
    return 'reason' in result ? { kind: 'failed', ...result } : { kind: 'sent', result: bounded(result) };
  } catch (error) {
    lost.throwIfAborted();
    if (!(error instanceof ProviderError) && !deadline.aborted) logUnexpected(dependencies, row, error);
    return afterError(error, { row, progress, timedOut: deadline.aborted, limits });
  }
}

/** What the platform says in its own words, none of which come from what the agent read. */
const saysNothingRead = new Set(['failure', 'close_approval']);

const withheldReply =
  'I have an answer, but to find it I read in a place that fewer people can see than this one, so I do not post it here. Please ask me there.';

/** What stays in the anchor, as most replies do, asks for nobody's standing. */
const restsOnAsker = ({ effect, isInAnchor, elsewhere }: ProviderTool): boolean =>
  effect === 'read' || isInAnchor !== undefined || elsewhere !== undefined;

interface Progress {
  /** Whether an earlier try may have arrived, as far as is known now. */
  unknown: boolean;
  /** The provider's call has begun. */
  performing: boolean;
}

async function call(
  dependencies: SendDependencies,
  organizationId: string,
  row: OutboxRow,
  tool: ProviderTool,
  {
    identity,
    target,
    askers,
    read,
  }: ActionTarget & { askers: Askers | undefined; read: Audience | undefined },
  deadline: AbortSignal,
  progress: Progress,
): Promise<ToolResult | { reason: string; tell?: string }> {
  const { installationId, mark } = row;
  const fetch = boundedFetch(dependencies.platformFetch({ organizationId, installationId }), deadline);
  const context: ProviderContext = { fetch, identity };
  if (progress.unknown && tool.reconcile) {
    const arrived = await untilAborted(tool.reconcile(context, row.arguments, target, mark), deadline);
    if (arrived) return arrived;
    progress.unknown = false;
  }
  const checked = await dependencies.checkOutbound?.(organizationId, textOf(row.arguments));
  if (checked && !checked.ok) return { reason: checked.reason };
  const adapter = dependencies.adapters[row.provider];
  if (askers?.toAsk && reachesOut(tool, row.arguments, target.place)) {
    const reason = await untilAborted(
      objectionToAsker(adapter, context, askers.toAsk, askers.rules),
      deadline,
    );
    if (reason !== undefined) return { reason };
  }
  if (tool.effect === 'write' && !saysNothingRead.has(tool.name)) {
    const write = {
      own: target.place,
      elsewhere: tool.elsewhere?.(row.arguments, target.place),
      read,
      asker: askers?.person,
    };
    const reason = await untilAborted(objectionToPlace(adapter, context, write), deadline);
    if (reason !== undefined) return { reason, ...(tool.name === 'reply' && { tell: withheldReply }) };
  }
  deadline.throwIfAborted();
  progress.performing = true;
  if (tool.effect === 'read' && askers) {
    const { sessionId, turnId } = row;
    const whose = { organizationId, sessionId, turnId, adapter, tool, context, target, askers, mark };
    return untilAborted(performRead(dependencies, { ...whose, input: row.arguments }), deadline);
  }
  return untilAborted(tool.perform(context, row.arguments, target, mark), deadline);
}

/** What an error means for the row. Pure. */
export function afterError(
  error: unknown,
  circumstances: {
    row: Pick<OutboxRow, 'attempts'>;
    progress: Progress;
    timedOut: boolean;
    limits: Pick<SendLimits, 'callMs' | 'maxUnexpected'>;
  },
): Outcome {
  const { row, progress, timedOut, limits } = circumstances;
  const mayHaveArrived = progress.unknown || progress.performing;
  if (timedOut) {
    const message = `The provider did not answer within ${Math.round(limits.callMs / 1_000)} s.`;
    return { kind: 'later', error: new ProviderError('unavailable', message, { mayHaveArrived }) };
  }
  if (!(error instanceof ProviderError)) {
    const message = 'An error inside Tagalong came between; the log of the worker says more.';
    if (row.attempts >= limits.maxUnexpected) return { kind: 'failed', reason: message };
    return { kind: 'later', error: new ProviderError('unavailable', message, { mayHaveArrived }) };
  }
  if (error.code === 'refused') {
    if (progress.performing || !progress.unknown) return { kind: 'failed', reason: error.message };
    return {
      kind: 'failed',
      reason: `It may or may not have arrived; looking for it failed: ${error.message}`,
    };
  }
  const { code, message, retryAfterMs } = error;
  const options = {
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    mayHaveArrived: progress.unknown || (progress.performing && error.mayHaveArrived),
  };
  return { kind: 'later', error: new ProviderError(code, message, options) };
}

function bounded({ text, ref }: ToolResult): ToolResult {
  return { text: boundText(cleanText(text), maxResultChars), ...(ref && { ref }) };
}

/** Only what cannot hold message text: the errors of vendors' clients carry whole requests. */
function logUnexpected({ logger }: SendDependencies, row: OutboxRow, error: unknown): void {
  const stack = error instanceof Error ? error.stack?.slice(0, 2_000) : undefined;
  logger.error({ actionId: row.actionId, tool: row.tool, stack }, 'unexpected error while sending an action');
}
