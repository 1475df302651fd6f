import { randomBytes } from 'node:crypto';
import { type MessagesRequest, messagesRequest } from './conversation.ts';
import { type Answer, chunks, type Dialect, problemOf } from './dialect.ts';
import { usageOf } from './tokens.ts';

type Content =
  | { type: 'text'; text: string }
  | { type: 'tool_use'; id: string; name: string; input: unknown };

function contentOf(reply: Answer): Content[] {
  if (reply.kind !== 'tool') return [{ type: 'text', text: reply.text }];
  const id = `toolu_${randomBytes(12).toString('hex')}`;
  const said: Content[] = reply.text ? [{ type: 'text', text: reply.text }] : [];
  return [...said, { type: 'tool_use', id, name: reply.name, input: reply.input }];
}

function messageOf(request: MessagesRequest, reply: Answer) {
  const content = contentOf(reply);
  const usage = usageOf(request, reply, content);
  return {
    id: `msg_${randomBytes(12).toString('hex')}`,
    type: 'message',
    role: 'assistant',
    model: request.model,
    content,
    stop_reason: reply.kind === 'tool' ? 'tool_use' : 'end_turn',
    stop_sequence: null,
    usage: { ...usage, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 },
  };
}

/** A reply of kind `cut` ends without `content_block_stop` and what follows it. */
function eventsOf(request: MessagesRequest, reply: Answer): string[] {
  const message = messageOf(request, reply);
  const events: { type: string; [field: string]: unknown }[] = [
    {
      type: 'message_start',
      message: { ...message, content: [], stop_reason: null, usage: { ...message.usage, output_tokens: 1 } },
    },
    { type: 'ping' },
  ];
  message.content.forEach((content, index) => {
    const start = content.type === 'text' ? { type: 'text', text: '' } : { ...content, input: {} };
    events.push({ type: 'content_block_start', index, content_block: start });
    const whole = content.type === 'text' ? content.text : JSON.stringify(content.input);
    for (const part of chunks(whole)) {
      const delta =
        content.type === 'text'
          ? { type: 'text_delta', text: part }
          : { type: 'input_json_delta', partial_json: part };
      events.push({ type: 'content_block_delta', index, delta });
    }
    if (reply.kind !== 'cut') events.push({ type: 'content_block_stop', index });
  });
  if (reply.kind !== 'cut') {
    const { stop_reason, stop_sequence, usage } = message;
    events.push({ type: 'message_delta', delta: { stop_reason, stop_sequence }, usage });
    events.push({ type: 'message_stop' });
  }
  return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
}

/** `POST /v1/messages` of Anthropic. */
export const anthropicMessages: Dialect = {
  path: '/v1/messages',
  read(body) {
    const parsed = messagesRequest.safeParse(body);
    if (!parsed.success) return problemOf(parsed.error.issues);
    return { request: parsed.data, isStream: parsed.data.stream === true };
  },
  whole: messageOf,
  events: eventsOf,
  error: (type, message) => ({ type: 'error', error: { type, message } }),
};
