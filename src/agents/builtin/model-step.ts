import { setTimeout as sleep } from 'node:timers/promises';
import { type FinishReason, jsonSchema, type ModelMessage, streamText, type ToolSet, tool } from 'ai';
import { languageModel } from './model.ts';
import { brokenOff, type ModelFailure, modelFailure } from './model-failure.ts';
import type { AgentTool } from './tool.ts';

const maxAttempts = 4;
const firstWaitMs = 1_000;

export interface StepInput {
  model: string;
  system: string;
  messages: readonly ModelMessage[];
  tools: readonly AgentTool[];
  signal: AbortSignal;
  onText(text: string): void;
  onThought(text: string): void;
}

export interface StepResult {
  /** What the model said and called, ready for the transcript; empty when it said nothing. */
  messages: ModelMessage[];
  finishReason: FinishReason;
  inputTokens: number;
  outputTokens: number;
}

export class ModelError extends Error {
  override name = 'ModelError';
}

/**
 * One call of the model, streamed. What fails before anything was streamed is tried again, as long as the provider asks
 * or with growing pauses; afterwards what was said cannot be unsaid. Throws ModelError with a sentence for people, or
 * the abort reason.
 */
export async function modelStep(input: StepInput): Promise<StepResult> {
  for (let attempt = 1; ; attempt++) {
    const result = await attemptStep(input);
    if (!('failure' in result)) return result;
    const { failure, streamed } = result;
    if (!failure.retryable || streamed || attempt === maxAttempts) throw new ModelError(failure.message);
    const waitMs = failure.retryAfterMs ?? firstWaitMs * 2 ** (attempt - 1);
    await sleep(waitMs, undefined, { signal: input.signal });
  }
}

/** The tools have no `execute`: the assistant's message is to be on the disk before the first of them runs. */
function toolSet(tools: readonly AgentTool[]): ToolSet {
  return Object.fromEntries(
    tools.map(({ name, description, inputSchema }) => [
      name,
      tool({ description, inputSchema: jsonSchema(inputSchema) }),
    ]),
  );
}

async function attemptStep(
  input: StepInput,
): Promise<StepResult | { failure: ModelFailure; streamed: boolean }> {
  let streamed = false;
  try {
    const result = streamText({
      model: languageModel(input.model),
      instructions: input.system,
      messages: [...input.messages],
      tools: toolSet(input.tools),
      abortSignal: input.signal,
      maxRetries: 0,
      providerOptions: { anthropic: { cacheControl: { type: 'ephemeral' } } },
      // Told by the stream; the default prints it.
      onError: () => {},
    });
    for await (const part of result.fullStream) {
      if (part.type === 'error') throw part.error;
      if (part.type === 'abort') throw input.signal.reason;
      if (part.type === 'text-delta') {
        streamed = true;
        input.onText(part.text);
      } else if (part.type === 'reasoning-delta') {
        streamed = true;
        input.onThought(part.text);
      }
    }
    const [{ messages }, finishReason, usage] = await Promise.all([
      result.response,
      result.finishReason,
      result.usage,
    ]);
    if (finishReason === 'interrupted' || finishReason === 'error') return { failure: brokenOff, streamed };
    return {
      messages,
      finishReason,
      inputTokens: usage.inputTokens ?? 0,
      outputTokens: usage.outputTokens ?? 0,
    };
  } catch (error) {
    input.signal.throwIfAborted();
    return { failure: modelFailure(error, input.model), streamed };
  }
}
