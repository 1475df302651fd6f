import { z } from 'zod';

const textBlock = z.looseObject({ type: z.literal('text'), text: z.string() });
const toolUseBlock = z.looseObject({
  type: z.literal('tool_use'),
  id: z.string(),
  name: z.string(),
  input: z.unknown(),
});
const toolResultBlock = z.looseObject({
  type: z.literal('tool_result'),
  tool_use_id: z.string(),
  content: z.union([z.string(), z.array(z.looseObject({ type: z.string() }))]).optional(),
  is_error: z.boolean().optional(),
});
const otherBlock = z.looseObject({ type: z.string() });
const block = z.union([textBlock, toolUseBlock, toolResultBlock, otherBlock]);

/** The part of a request to `POST /v1/messages` that the offline model reads. */
export const messagesRequest = z.looseObject({
  model: z.string(),
  max_tokens: z.number().int().positive().optional(),
  stream: z.boolean().optional(),
  system: z.union([z.string(), z.array(otherBlock)]).optional(),
  messages: z
    .array(
      z.looseObject({
        role: z.enum(['user', 'assistant', 'system']),
        content: z.union([z.string(), z.array(block)]),
      }),
    )
    .min(1),
  tools: z.array(z.looseObject({ name: z.string() })).optional(),
});

export type MessagesRequest = z.infer<typeof messagesRequest>;

/** What one person wrote, as the agent was handed it. */
export interface PersonMessage {
  author?: string;
  /** False where the message is marked as context that must not instruct. */
  mayInstruct: boolean;
  text: string;
}

interface Block {
  type: string;
  text?: unknown;
  content?: unknown;
  is_error?: unknown;
}

function blocksOf(content: MessagesRequest['messages'][number]['content']): Block[] {
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content;
}

function textOf(blocks: readonly Block[]): string {
  return blocks
    .flatMap((one) => (one.type === 'text' && typeof one.text === 'string' ? [one.text] : []))
    .join('\n');
}

/** What agent programs put around a tool's output: Claude Code what the model shall keep in mind, Codex a head. */
const framing = /^Chunk ID: [\s\S]*?\nOutput:\n|\s*<system-reminder>[\s\S]*?<\/system-reminder>/g;
const tagged = /<(message[\w-]*)\b([^>]*)>\s*([\s\S]*?)\s*<\/\1>/g;

/** The people's words in a user message: what stands between `<message…>` tags, or all of it where there are none. */
export function personMessages(text: string): PersonMessage[] {
  const found = [...text.matchAll(tagged)].map(([, , attributes = '', body = '']): PersonMessage => {
    const author = /\bauthor="([^"]*)"/.exec(attributes)?.[1];
    return {
      ...(author ? { author } : {}),
      mayInstruct: !/authority="[^"]*\b(context|none|never)\b/.test(attributes),
      text: withoutEscapes(body),
    };
  });
  if (found.length > 0) return found;
  const plain = text.trim();
  return plain === '' ? [] : [{ mayInstruct: true, text: plain }];
}

function withoutEscapes(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}

/**
 * Everything that people said, one entry for each user message that holds words, oldest first. Some agent programs put
 * texts of their own in front (which folder it is, what its rules are): what comes before people's marked words is none.
 */
export function turnsOf(request: MessagesRequest): PersonMessage[][] {
  const texts = request.messages
    .filter(({ role }) => role === 'user')
    .map(({ content }) => {
      const blocks = blocksOf(content);
      const lastResult = blocks.findLastIndex(({ type }) => type === 'tool_result');
      return textOf(blocks.slice(lastResult + 1));
    });
  const firstMarked = texts.findIndex((text) => text.search(tagged) >= 0);
  return texts
    .slice(Math.max(firstMarked, 0))
    .map(personMessages)
    .filter((messages) => messages.length > 0);
}

/** The output of the tool that ran last, when the request ends with it; else somebody waits for an answer. */
export function latestToolResult(request: MessagesRequest): { text: string; failed: boolean } | undefined {
  const last = request.messages.findLast(({ role }) => role !== 'system');
  const result = last?.role === 'user' ? blocksOf(last.content).at(-1) : undefined;
  if (result?.type !== 'tool_result') return undefined;
  const content = result.content;
  const text =
    typeof content === 'string' ? content : textOf(Array.isArray(content) ? (content as Block[]) : []);
  return { text: text.replace(framing, ''), failed: result.is_error === true };
}
