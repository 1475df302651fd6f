import type { SessionUpdate, StopReason } from '@agentclientprotocol/sdk';
import type { ModelMessage, ToolCallPart, ToolResultPart } from 'ai';
import { modelStep } from './model-step.ts';
import type { AgentTool, ToolOutcome } from './tool.ts';
import { type Transcript, toolCallsOf } from './transcript.ts';

const maxSteps = 200;
/** For the `size` that ACP wants; nothing hangs on it. */
const contextWindowTokens = 200_000;

export interface TurnInput {
  model: string;
  system: string;
  workspace: string;
  transcript: Transcript;
  tools: readonly AgentTool[];
  signal: AbortSignal;
  /** Told in order. */
  update(update: SessionUpdate): void;
}

/**
 * Calls the model and its tools in turns until it has nothing more to call. Each message is in the transcript before
 * the next thing happens. Throws ModelError; a cancelled turn answers `cancelled`.
 */
export async function runTurn(input: TurnInput): Promise<StopReason> {
  for (let step = 0; step < maxSteps; step++) {
    const said = await speak(input, `${input.transcript.messages.length}`);
    if (said === 'cancelled') return 'cancelled';
    if (said.calls.length === 0) return said.stopReason;
    const results = await runTools(said.calls, input);
    input.transcript.append({ role: 'tool', content: results });
    if (input.signal.aborted) return 'cancelled';
  }
  return 'max_turn_requests';
}

async function speak(
  input: TurnInput,
  messageId: string,
): Promise<'cancelled' | { calls: ToolCallPart[]; stopReason: StopReason }> {
  const { transcript, signal, update } = input;
  let text = '';
  try {
    const result = await modelStep({
      model: input.model,
      system: input.system,
      messages: transcript.messages,
      tools: input.tools,
      signal,
      onText(part) {
        text += part;
        update({ sessionUpdate: 'agent_message_chunk', messageId, content: { type: 'text', text: part } });
      },
      onThought(part) {
        update({ sessionUpdate: 'agent_thought_chunk', messageId, content: { type: 'text', text: part } });
      },
    });
    const messages = result.messages.filter((message) => message.content.length > 0);
    for (const message of messages) transcript.append(message);
    const { inputTokens, outputTokens } = result;
    update({
      sessionUpdate: 'usage_update',
      used: inputTokens + outputTokens,
      size: contextWindowTokens,
      _meta: { tagalong: { inputTokens, outputTokens } },
    });
    return { calls: openCalls(messages), stopReason: stopReasonOf(result.finishReason) };
  } catch (error) {
    if (!signal.aborted) throw error;
    // What people have seen of it belongs to the memory.
    if (text.trim() !== '')
      transcript.append({ role: 'assistant', content: `${text}\n[cut off: the turn was cancelled]` });
    return 'cancelled';
  }
}

/** Calls without a result: the library has answered those itself that it could not read. */
function openCalls(messages: readonly ModelMessage[]): ToolCallPart[] {
  const answered = new Set(
    messages.flatMap((message) =>
      message.role === 'tool'
        ? message.content.flatMap((part) => (part.type === 'tool-result' ? [part.toolCallId] : []))
        : [],
    ),
  );
  return messages.flatMap(toolCallsOf).filter((call) => !answered.has(call.toolCallId));
}

/** Runs the calls of one message in their order: a later one may rely on what an earlier one wrote. */
async function runTools(calls: readonly ToolCallPart[], input: TurnInput): Promise<ToolResultPart[]> {
  const results: ToolResultPart[] = [];
  for (const call of calls) {
    const tool = input.tools.find(({ name }) => name === call.toolName);
    const meta = tool?.mcpServer === undefined ? {} : { _meta: { tagalong: { mcpServer: tool.mcpServer } } };
    input.update({
      sessionUpdate: 'tool_call',
      toolCallId: call.toolCallId,
      title: call.toolName,
      name: call.toolName,
      kind: tool?.kind ?? 'other',
      status: 'in_progress',
      rawInput: call.input,
      ...meta,
    });
    const { text, isError } = await runTool(tool, call, input);
    input.update({
      sessionUpdate: 'tool_call_update',
      toolCallId: call.toolCallId,
      status: isError ? 'failed' : 'completed',
      content: [{ type: 'content', content: { type: 'text', text } }],
      ...meta,
    });
    results.push({
      type: 'tool-result',
      toolCallId: call.toolCallId,
      toolName: call.toolName,
      output: { type: isError ? 'error-text' : 'text', value: text },
    });
  }
  return results;
}

async function runTool(
  tool: AgentTool | undefined,
  call: ToolCallPart,
  input: TurnInput,
): Promise<ToolOutcome> {
  if (input.signal.aborted) return { text: 'Not run: the turn was cancelled.', isError: true };
  if (!tool) return { text: `There is no tool named ${call.toolName}.`, isError: true };
  return tool.run(call.input, { workspace: input.workspace, signal: input.signal });
}

function stopReasonOf(reason: string): StopReason {
  if (reason === 'length') return 'max_tokens';
  return reason === 'content-filter' ? 'refusal' : 'end_turn';
}
