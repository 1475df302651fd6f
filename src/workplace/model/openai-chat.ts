import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { MessagesRequest } from './conversation.ts';
import { type Answer, chunks, type Dialect, problemOf } from './dialect.ts';
import { textContent, toolInput } from './openai-parts.ts';
import { usageOf } from './tokens.ts';

const content = z.union([z.string(), z.array(z.looseObject({ type: z.string() })), z.null()]).optional();
const toolCall = z.looseObject({
  id: z.string(),
  function: z.looseObject({ name: z.string(), arguments: z.string() }),
});

/** The part of a request to `POST /v1/chat/completions` that the offline model reads. */
const chatRequest = z.looseObject({
  model: z.string(),
  stream: z.boolean().nullish(),
  messages: z
    .array(
      z.looseObject({
        role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
        content,
        tool_calls: z.array(toolCall).nullish(),
        tool_call_id: z.string().nullish(),
      }),
    )
    .min(1),
  tools: z
    .array(
      z.looseObject({
        type: z.string(),
        function: z.looseObject({ name: z.string(), parameters: z.unknown().optional() }).optional(),
      }),
    )
    .nullish(),
});

type ChatMessage = z.infer<typeof chatRequest>['messages'][number];

function messageOf(message: ChatMessage): MessagesRequest['messages'][number] {
  const text = textContent(message.content);
  switch (message.role) {
    case 'system':
    case 'developer':
      return { role: 'system', content: text };
    case 'tool':
      return {
        role: 'user',
        content: [{ type: 'tool_result', tool_use_id: message.tool_call_id ?? '', content: text }],
      };
    case 'user':
      return { role: 'user', content: text };
    case 'assistant':
      return {
        role: 'assistant',
        content: [
          { type: 'text', text },
          ...(message.tool_calls ?? []).map((call) => ({
            type: 'tool_use' as const,
            id: call.id,
            name: call.function.name,
            input: toolInput(call.function.arguments),
          })),
        ],
      };
  }
}

function head(request: MessagesRequest, object: string) {
  return {
    id: `chatcmpl-${randomBytes(12).toString('hex')}`,
    object,
    created: Math.floor(Date.now() / 1_000),
    model: request.model,
  };
}

function toolCallsOf(answer: Answer) {
  if (answer.kind !== 'tool') return undefined;
  const called = { name: answer.name, arguments: JSON.stringify(answer.input) };
  return [{ id: `call_${randomBytes(12).toString('hex')}`, type: 'function', function: called }];
}

function usage(request: MessagesRequest, answer: Answer) {
  const { input_tokens, output_tokens } = usageOf(request, answer, answer);
  return {
    prompt_tokens: input_tokens,
    completion_tokens: output_tokens,
    total_tokens: input_tokens + output_tokens,
  };
}

/** `POST /v1/chat/completions` of OpenAI, and of all that are compatible with it. */
export const openaiChat: Dialect = {
  path: '/v1/chat/completions',
  read(body) {
    const parsed = chatRequest.safeParse(body);
    if (!parsed.success) return problemOf(parsed.error.issues);
    const { model, messages, tools, stream } = parsed.data;
    const offered = (tools ?? []).flatMap(({ function: known }) =>
      known ? [{ name: known.name, input_schema: known.parameters }] : [],
    );
    return {
      request: { model, messages: messages.map(messageOf), tools: offered },
      isStream: stream === true,
    };
  },
  whole(request, answer) {
    const tool_calls = toolCallsOf(answer);
    const message = {
      role: 'assistant',
      content: answer.text ?? null,
      ...(tool_calls ? { tool_calls } : {}),
    };
    return {
      ...head(request, 'chat.completion'),
      choices: [{ index: 0, message, finish_reason: tool_calls ? 'tool_calls' : 'stop' }],
      usage: usage(request, answer),
    };
  },
  events(request, answer) {
    const common = head(request, 'chat.completion.chunk');
    const tool_calls = toolCallsOf(answer);
    const chunk = (delta: object, finish_reason: string | null = null) => ({
      ...common,
      choices: [{ index: 0, delta, finish_reason }],
    });
    const events: object[] = [chunk({ role: 'assistant', content: '' })];
    for (const part of chunks(answer.text ?? '')) events.push(chunk({ content: part }));
    for (const call of tool_calls ?? []) {
      const { arguments: whole, name } = call.function;
      events.push(chunk({ tool_calls: [{ index: 0, ...call, function: { name, arguments: '' } }] }));
      for (const part of chunks(whole)) {
        events.push(chunk({ tool_calls: [{ index: 0, function: { arguments: part } }] }));
      }
    }
    const lines = (all: readonly object[]) => all.map((event) => `data: ${JSON.stringify(event)}\n\n`);
    if (answer.kind === 'cut') return lines(events);
    events.push(chunk({}, tool_calls ? 'tool_calls' : 'stop'));
    events.push({ ...common, choices: [], usage: usage(request, answer) });
    return [...lines(events), 'data: [DONE]\n\n'];
  },
  error: (type, message) => ({ error: { message, type, param: null, code: null } }),
};
