import { expect, test } from 'vitest';
import { UsageReader } from '../../src/vault/egress/model-usage.ts';

const sse = (...events: object[]) =>
  events.map((event) => `event: x\ndata: ${JSON.stringify(event)}\n\n`).join('');

const answers = {
  'Anthropic, streamed': {
    text: sse(
      {
        type: 'message_start',
        message: {
          model: 'claude-x',
          usage: {
            input_tokens: 10,
            cache_read_input_tokens: 90,
            cache_creation_input_tokens: 5,
            output_tokens: 1,
          },
        },
      },
      { type: 'content_block_delta', delta: { type: 'text_delta', text: 'usage: "model"' } },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 7 } },
      { type: 'message_stop' },
    ),
    usage: {
      model: 'claude-x',
      inputTokens: 105,
      outputTokens: 7,
      cachedTokens: 90,
      writtenTokens: 5,
      stopReason: 'end_turn',
    },
  },
  'Anthropic, whole': {
    text: JSON.stringify({
      model: 'claude-x',
      stop_reason: 'tool_use',
      usage: { input_tokens: 3, output_tokens: 4 },
    }),
    usage: {
      model: 'claude-x',
      inputTokens: 3,
      outputTokens: 4,
      cachedTokens: null,
      writtenTokens: null,
      stopReason: 'tool_use',
    },
  },
  'OpenAI chat, streamed': {
    text: `${sse(
      { model: 'gpt-x', choices: [{ delta: { content: 'hi' }, finish_reason: null }] },
      { model: 'gpt-x', choices: [{ delta: {}, finish_reason: 'stop' }] },
      {
        model: 'gpt-x',
        choices: [],
        usage: { prompt_tokens: 9, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 8 } },
      },
    )}data: [DONE]\n\n`,
    usage: {
      model: 'gpt-x',
      inputTokens: 9,
      outputTokens: 2,
      cachedTokens: 8,
      writtenTokens: null,
      stopReason: 'stop',
    },
  },
  'OpenAI responses, streamed': {
    text: sse(
      { type: 'response.created', response: { object: 'response', status: 'in_progress', model: 'gpt-y' } },
      {
        type: 'response.completed',
        response: {
          object: 'response',
          status: 'completed',
          model: 'gpt-y',
          usage: { input_tokens: 5, output_tokens: 6, input_tokens_details: { cached_tokens: 1 } },
        },
      },
    ),
    usage: {
      model: 'gpt-y',
      inputTokens: 5,
      outputTokens: 6,
      cachedTokens: 1,
      writtenTokens: null,
      stopReason: 'completed',
    },
  },
  'Google, streamed': {
    text: sse(
      { modelVersion: 'gemini-x', candidates: [{ content: {} }], usageMetadata: { promptTokenCount: 8 } },
      {
        candidates: [{ finishReason: 'STOP' }],
        usageMetadata: {
          promptTokenCount: 8,
          candidatesTokenCount: 3,
          thoughtsTokenCount: 2,
          cachedContentTokenCount: 4,
        },
      },
    ),
    usage: {
      ...{ model: 'gemini-x', inputTokens: 8, outputTokens: 5 },
      ...{ cachedTokens: 4, writtenTokens: null, stopReason: 'STOP' },
    },
  },
  'an error': {
    text: JSON.stringify({ type: 'error', error: { type: 'overloaded_error' } }),
    usage: {
      model: null,
      inputTokens: null,
      outputTokens: null,
      cachedTokens: null,
      writtenTokens: null,
      stopReason: null,
    },
  },
  'no JSON, and numbers that are none': {
    text: `<html>\n${sse({ model: 7, usage: { input_tokens: -1, output_tokens: 1e99 } })}data: {"usage":`,
    usage: {
      model: null,
      inputTokens: null,
      outputTokens: null,
      cachedTokens: null,
      writtenTokens: null,
      stopReason: null,
    },
  },
};

for (const [name, { text, usage }] of Object.entries(answers)) {
  test(`${name}: model, tokens and the reason to stop are read, wherever it is cut`, () => {
    const bytes = Buffer.from(text);
    for (const size of [1, 3, 17, bytes.length]) {
      const reader = new UsageReader();
      for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
      reader.end();
      expect(reader.usage).toEqual(usage);
    }
  });
}
