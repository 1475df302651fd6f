import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { MessagesRequest } from './conversation.ts';
import { type Answer, chunks, type Dialect, problemOf } from './dialect.ts';
import { textContent, toolInput } from './openai-parts.ts';
import { usageOf } from './tokens.ts';

const item = z.looseObject({
  type: z.string().optional(),
  role: z.string().optional(),
  content: z.unknown().optional(),
  call_id: z.string().optional(),
  name: z.string().optional(),
  arguments: z.string().optional(),
  output: z.unknown().optional(),
});
const tool = z.looseObject({
  type: z.string(),
  name: z.string().optional(),
  parameters: z.unknown().optional(),
  tools: z
    .array(z.looseObject({ name: z.string().optional(), parameters: z.unknown().optional() }))
    .optional(),
});

/** The part of a request to `POST /v1/responses` that the offline model reads. */
const responsesRequest = z.looseObject({
  model: z.string(),
  stream: z.boolean().nullish(),
  instructions: z.string().nullish(),
  input: z.union([z.string(), z.array(item).min(1)]),
  tools: z.array(tool).nullish(),
});

type Item = z.infer<typeof item>;
type Message = MessagesRequest['messages'][number];

function messageOf(one: Item): Message[] {
  switch (one.type) {
    case undefined:
    case 'message': {
      const role = one.role === 'user' || one.role === 'assistant' ? one.role : 'system';
      return [{ role, content: textContent(one.content) }];
    }
    case 'function_call': {
      const input = toolInput(one.arguments ?? '{}');
      return [
        {
          role: 'assistant',
          content: [{ type: 'tool_use', id: one.call_id ?? '', name: one.name ?? '', input }],
        },
      ];
    }
    case 'function_call_output':
    case 'custom_tool_call_output': {
      const result = {
        type: 'tool_result',
        tool_use_id: one.call_id ?? '',
        content: textContent(one.output),
      };
      return [{ role: 'user', content: [result] }];
    }
    default:
      return [];
  }
}

/** Tools of one MCP server can come as a group, under its name. */
function toolsOf(tools: z.infer<typeof responsesRequest>['tools']): OfferedTool[] {
  return (tools ?? []).flatMap((one): OfferedTool[] => {
    if (one.type === 'namespace') {
      return (one.tools ?? []).flatMap((each) =>
        each.name ? [{ name: each.name, namespace: one.name, input_schema: each.parameters }] : [],
      );
    }
    return one.type === 'function' && one.name ? [{ name: one.name, input_schema: one.parameters }] : [];
  });
}

type OfferedTool = { name: string; namespace?: string | undefined; input_schema: unknown };

const newId = (prefix: string) => `${prefix}_${randomBytes(16).toString('hex')}`;

type Output = { type: string; id: string } & Record<string, unknown>;

function outputOf(request: MessagesRequest, answer: Answer): Output[] {
  const text = answer.text ?? '';
  const message: Output = {
    type: 'message',
    id: newId('msg'),
    role: 'assistant',
    status: 'completed',
    content: [{ type: 'output_text', text, annotations: [] }],
  };
  if (answer.kind !== 'tool') return [message];
  const { namespace } = (request.tools?.find(({ name }) => name === answer.name) ??
    {}) as Partial<OfferedTool>;
  const call: Output = {
    type: 'function_call',
    id: newId('fc'),
    call_id: newId('call'),
    name: answer.name,
    ...(namespace === undefined ? {} : { namespace }),
    arguments: JSON.stringify(answer.input),
    status: 'completed',
  };
  return text === '' ? [call] : [message, call];
}

function responseOf(request: MessagesRequest, answer: Answer, output: Output[], id = newId('resp')) {
  const { input_tokens, output_tokens } = usageOf(request, answer, output);
  return {
    id,
    object: 'response',
    created_at: Math.floor(Date.now() / 1_000),
    status: 'completed',
    error: null,
    incomplete_details: null,
    model: request.model,
    output,
    parallel_tool_calls: true,
    tools: [],
    usage: {
      input_tokens,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: input_tokens + output_tokens,
    },
  };
}

type Event = { type: string } & Record<string, unknown>;

function messageEvents(answer: Answer, output: Output, output_index: number): Event[] {
  const text = answer.text ?? '';
  const place = { item_id: output.id, output_index, content_index: 0 };
  const part = { type: 'output_text', text: '', annotations: [] };
  const added = { ...output, status: 'in_progress', content: [] };
  const events: Event[] = [
    { type: 'response.output_item.added', output_index, item: added },
    { type: 'response.content_part.added', ...place, part },
    ...chunks(text).map((delta) => ({ type: 'response.output_text.delta', ...place, delta })),
  ];
  if (answer.kind === 'cut') return events;
  return [
    ...events,
    { type: 'response.output_text.done', ...place, text },
    { type: 'response.content_part.done', ...place, part: { ...part, text } },
    { type: 'response.output_item.done', output_index, item: output },
  ];
}

function callEvents(output: Output, output_index: number): Event[] {
  const place = { item_id: output.id, output_index };
  const whole = String(output.arguments);
  const added = { ...output, arguments: '', status: 'in_progress' };
  return [
    { type: 'response.output_item.added', output_index, item: added },
    ...chunks(whole).map((delta) => ({ type: 'response.function_call_arguments.delta', ...place, delta })),
    { type: 'response.function_call_arguments.done', ...place, arguments: whole },
    { type: 'response.output_item.done', output_index, item: output },
  ];
}

/** `POST /v1/responses` of OpenAI. */
export const openaiResponses: Dialect = {
  path: '/v1/responses',
  read(body) {
    const parsed = responsesRequest.safeParse(body);
    if (!parsed.success) return problemOf(parsed.error.issues);
    const { model, instructions, input, tools, stream } = parsed.data;
    const messages: Message[] =
      typeof input === 'string' ? [{ role: 'user', content: input }] : input.flatMap(messageOf);
    return {
      request: {
        model,
        ...(instructions ? { system: instructions } : {}),
        messages,
        tools: toolsOf(tools),
      },
      isStream: stream === true,
    };
  },
  whole: (request, answer) => responseOf(request, answer, outputOf(request, answer)),
  events(request, answer) {
    const output = outputOf(request, answer);
    const whole = responseOf(request, answer, output);
    const begun = { ...whole, status: 'in_progress', output: [], usage: null };
    const events: Event[] = [
      { type: 'response.created', response: begun },
      { type: 'response.in_progress', response: begun },
      ...output.flatMap((one, index) =>
        one.type === 'message' ? messageEvents(answer, one, index) : callEvents(one, index),
      ),
    ];
    if (answer.kind !== 'cut') events.push({ type: 'response.completed', response: whole });
    return events.map(
      (event, sequence_number) =>
        `event: ${event.type}\ndata: ${JSON.stringify({ ...event, sequence_number })}\n\n`,
    );
  },
  error: (type, message) => ({ error: { message, type, param: null, code: null } }),
};
