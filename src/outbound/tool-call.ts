import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { ProviderError } from '../providers/provider.ts';
import { withOrganization } from '../store/organization.ts';
import { settleRead, submitAction } from './actions.ts';
import type { SessionPort } from './approvals/session-port.ts';
import { approvalSetting } from './approvals/setting.ts';
import { loadAskers } from './asker-check.ts';
import { boundedFetch, untilAborted } from './bounded-fetch.ts';
import { type Caller, loadStanding } from './caller.ts';
import { boundText, cleanRecord, cleanText } from './clean-text.ts';
import type { OutboundDependencies } from './dependencies.ts';
import { performRead, type Reading } from './readings.ts';
import type { Settlements } from './settlements.ts';
import { loadTarget } from './target.ts';
import { describeInputError } from './tool-list.ts';

export interface CallLimits {
  /** How long a call waits for its write to be sent; then it answers that it is queued. */
  waitMs: number;
  /** For one read at the provider. */
  readMs: number;
  /** Longest result that an agent is given. */
  maxResultChars: number;
  /** Longest result of a read that is kept with its action. */
  maxRecordedChars: number;
}

export const callLimits: CallLimits = {
  waitMs: 25_000,
  readMs: 25_000,
  maxResultChars: 200_000,
  maxRecordedChars: 4_096,
};

export interface CallDependencies extends OutboundDependencies {
  workerId: string;
  settlements: Settlements;
  sessions: Pick<SessionPort, 'record'>;
  limits: CallLimits;
}

/**
 * One `tools/call`: input checked, gate, action; then a read is performed and a write is waited for. Everything that
 * goes wrong is a tool error that says what would help; only a broken database rejects.
 */
export async function callTool(
  dependencies: CallDependencies,
  caller: Caller,
  name: string,
  input: Readonly<Record<string, unknown>>,
  gone: AbortSignal,
): Promise<CallToolResult> {
  const { database, workerId, settlements, limits } = dependencies;
  const { organizationId, sessionId, provider } = caller;
  const tools = dependencies.adapters[provider].tools.filter((each) => each.listed);
  const tool = tools.find((each) => each.name === name);
  if (!tool) {
    return failure(
      `There is no tool ${cleanText(name).slice(0, 100)}. There are: ${tools.map((each) => each.name).join(', ')}.`,
    );
  }
  const parsed = tool.input.safeParse(cleanRecord(input));
  if (!parsed.success) return failure(describeInputError(name, parsed.error));

  const { submission, standing, target, askers } = await withOrganization(
    database,
    organizationId,
    async (tx) => {
      const { policy, publicationId, ...standing } = await loadStanding(tx, caller, workerId);
      const submission = await submitAction(tx, {
        organizationId,
        sessionId,
        provider,
        tool,
        arguments: parsed.data,
        approval: approvalSetting(dependencies.adapters[provider], publicationId, policy),
        ...standing,
      });
      const reads = submission.kind === 'perform' && standing.anchor;
      const target = reads
        ? await loadTarget(tx, { anchorId: reads.id, turnId: standing.turn?.id ?? null })
        : undefined;
      const askers = reads
        ? await loadAskers(tx, { anchorId: reads.id, turnId: standing.turn?.id ?? null })
        : undefined;
      return { submission, standing, target, askers };
    },
  );

  switch (submission.kind) {
    case 'refused':
      return failure(`Refused: ${submission.reason}`);
    case 'waiting':
      return success(
        `waiting_for_approval ${submission.approvalId}: a person is asked in the thread. Nothing has been done yet. Do not repeat the call; end your turn when you have nothing else to do. You will be told what became of it.`,
      );
    case 'settled':
      return answer(submission.state, submission.text, limits);
    case 'queued': {
      const settled = await settlements.wait(organizationId, submission.actionId, limits.waitMs, gone);
      if (settled) return answer(settled.state, settled.text, limits);
      return success(
        `queued ${submission.actionId}: it is recorded and will be sent as soon as the provider takes it. Do not repeat it.`,
      );
    }
    case 'perform': {
      if (!standing.anchor || !target || !askers) return failure('The place where it belongs is gone.');
      const turnId = standing.turn?.id ?? null;
      const outcome = await read(dependencies, caller, { tool, input: parsed.data, turnId, askers }, target);
      const recorded = { ...outcome, text: boundText(outcome.text, limits.maxRecordedChars) };
      await withOrganization(database, organizationId, (tx) => settleRead(tx, submission.actionId, recorded));
      return answer(outcome.state, outcome.text, limits);
    }
  }
}

interface ReadOutcome {
  state: 'sent' | 'failed';
  text: string;
}

async function read(
  dependencies: CallDependencies,
  { organizationId, sessionId, provider }: Caller,
  asked: Pick<Reading, 'tool' | 'input' | 'turnId' | 'askers'>,
  { installationId, identity, target }: NonNullable<Awaited<ReturnType<typeof loadTarget>>>,
): Promise<ReadOutcome> {
  const { platformFetch, logger, limits } = dependencies;
  const { tool } = asked;
  const adapter = dependencies.adapters[provider];
  const deadline = AbortSignal.timeout(limits.readMs);
  const fetch = boundedFetch(platformFetch({ organizationId, installationId }), deadline);
  try {
    const context = { fetch, identity };
    // A read leaves no mark.
    const reading = { organizationId, sessionId, adapter, context, target, mark: '', ...asked };
    const result = await untilAborted(performRead(dependencies, reading), deadline);
    return { state: 'sent', text: cleanText(result.text) };
  } catch (error) {
    if (deadline.aborted) {
      const seconds = Math.round(limits.readMs / 1_000);
      return { state: 'failed', text: `The provider did not answer within ${seconds} s. Try again later.` };
    }
    if (error instanceof ProviderError) return { state: 'failed', text: cleanText(error.message) };
    const stack = error instanceof Error ? error.stack?.slice(0, 2_000) : undefined;
    logger.error({ tool: tool.name, stack }, 'unexpected error in a read');
    return { state: 'failed', text: 'An error inside Tagalong came between. Try again later.' };
  }
}

function answer(state: 'sent' | 'failed', text: string, limits: CallLimits): CallToolResult {
  if (state === 'failed') return failure(`Failed: ${boundText(text, limits.maxResultChars)}`);
  return success(boundText(text, limits.maxResultChars));
}

const success = (text: string): CallToolResult => ({ content: [{ type: 'text', text }] });
export const failure = (text: string): CallToolResult => ({
  content: [{ type: 'text', text }],
  isError: true,
});
