import type { AgentUpdate } from './program.ts';

/** Turns the `session/update`s of one turn into ours. Pure but for `emit`; tolerates anything. */
export interface TurnUpdates {
  push(update: unknown): void;
  /** Emits what is still held and answers what was said after the last tool call. */
  end(): string;
}

const maxTextChars = 1_000_000;
const maxResultChars = 100_000;
const maxDetailChars = 4_000;
const maxNameChars = 200;

type Fields = Record<string, unknown>;

interface ToolCall {
  name: string;
  input: Fields | undefined;
  mcpServer: string | undefined;
  content: unknown;
  output: unknown;
  told: boolean;
}

/** Reads ACP v1 updates, and by their names those that may come later. */
export function createTurnUpdates(emit: (update: AgentUpdate) => void): TurnUpdates {
  const calls = new Map<string, ToolCall>();
  let open: { kind: 'message' | 'thought'; id: unknown; text: string } | undefined;
  let said: string[] = [];

  function flush(): void {
    if (open && open.text.trim() !== '') {
      emit({ kind: open.kind, text: open.text });
      if (open.kind === 'message') said.push(open.text);
    }
    open = undefined;
  }

  function chunk(kind: 'message' | 'thought', update: Fields): void {
    const text = textOf(update.content);
    if (text === '') return;
    const id = update.messageId ?? undefined;
    if (open?.kind !== kind || open.id !== id) flush();
    open ??= { kind, id, text: '' };
    open.text = clip(open.text + text, maxTextChars);
  }

  function tell(id: string, call: ToolCall): void {
    if (call.told) return;
    call.told = true;
    const server = call.mcpServer === undefined ? {} : { mcpServer: call.mcpServer };
    emit({ kind: 'tool_use', toolUseId: id, name: call.name, input: call.input ?? {}, ...server });
  }

  function tool(update: Fields): void {
    const id = name(update.toolCallId);
    if (id === '') return;
    flush();
    said = [];
    const call: ToolCall = calls.get(id) ?? {
      name: name(update.name) || name(update.title) || 'tool',
      input: undefined,
      mcpServer: undefined,
      content: undefined,
      output: undefined,
      told: false,
    };
    calls.set(id, call);
    const input = fields(update.rawInput);
    if (input && Object.keys(input).length > 0) call.input = input;
    const server = fields(fields(update._meta)?.tagalong)?.mcpServer;
    if (typeof server === 'string') call.mcpServer = name(server);
    if (update.content !== undefined && update.content !== null) call.content = update.content;
    if (update.rawOutput !== undefined) call.output = update.rawOutput;
    const done = update.status === 'completed' || update.status === 'failed';
    // Some programs announce a call first and send its input after.
    if (call.input || done) tell(id, call);
    if (!done) return;
    calls.delete(id);
    emit({
      kind: 'tool_result',
      toolUseId: id,
      text: clip(resultText(call), maxResultChars),
      isError: update.status === 'failed',
      ...(call.mcpServer === undefined ? {} : { mcpServer: call.mcpServer }),
    });
  }

  return {
    push(value) {
      const update = fields(value);
      if (!update) return;
      switch (update.sessionUpdate) {
        case 'agent_message_chunk':
          return chunk('message', update);
        case 'agent_thought_chunk':
          return chunk('thought', update);
        case 'tool_call':
        case 'tool_call_update':
          return tool(update);
        case 'user_message_chunk':
          return;
        case 'plan':
          return emit({ kind: 'plan', entries: planEntries(update.entries) });
        case 'usage_update': {
          const tokens = fields(fields(update._meta)?.tagalong);
          if (tokens) {
            return emit({
              kind: 'usage',
              inputTokens: count(tokens.inputTokens),
              outputTokens: count(tokens.outputTokens),
            });
          }
          return emit(unknownUpdate(update));
        }
        default:
          return emit(unknownUpdate(update));
      }
    },
    end() {
      flush();
      for (const [id, call] of calls) tell(id, call);
      calls.clear();
      return clip(said.join('\n\n').trim(), maxTextChars);
    },
  };
}

function unknownUpdate(update: Fields): AgentUpdate {
  const { sessionUpdate, _meta, ...detail } = update;
  const small = JSON.stringify(detail).length <= maxDetailChars;
  return { kind: 'unknown', name: name(sessionUpdate) || 'unnamed', detail: small ? detail : {} };
}

function resultText(call: ToolCall): string {
  const parts = (Array.isArray(call.content) ? call.content : []).map((item) => {
    const part = fields(item);
    if (part?.type === 'content') return textOf(part.content);
    if (part?.type === 'diff') return `Changed ${name(part.path)}.`;
    return '';
  });
  const text = parts.filter(Boolean).join('\n');
  if (text !== '' || call.output === undefined || call.output === null) return text;
  return typeof call.output === 'string' ? call.output : JSON.stringify(call.output);
}

function planEntries(entries: unknown): { content: string; status: string }[] {
  return (Array.isArray(entries) ? entries : []).slice(0, 200).map((entry) => ({
    content: clip(String(fields(entry)?.content ?? ''), 2_000),
    status: name(fields(entry)?.status) || 'pending',
  }));
}

function textOf(content: unknown): string {
  const block = fields(content);
  return block?.type === 'text' && typeof block.text === 'string' ? block.text : '';
}

const fields = (value: unknown): Fields | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;

const name = (value: unknown): string => (typeof value === 'string' ? value.slice(0, maxNameChars) : '');

const count = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? Math.floor(value) : 0;

const clip = (text: string, maxChars: number): string =>
  text.length > maxChars ? `${text.slice(0, maxChars)}…` : text;
