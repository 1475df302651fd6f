import { clip, count, type Fields, fields, name, textOf } from './fields.ts';
import type { AgentUpdate } from './program.ts';
import { createToolUpdates } from './tool-updates.ts';

/** Turns the `session/update`s of one turn into ours. Pure but for `emit`; tolerates anything. */
export interface TurnUpdates {
  push(update: unknown): void;
  /**
   * Emits what is still held and answers what was said after the last tool call.
   *
   * @param usage what the answer to the prompt says that the turn has cost
   */
  end(usage?: unknown): string;
}

const maxTextChars = 1_000_000;
const maxDetailChars = 4_000;

/** What a program says of itself, not of the turn: its menus and settings. */
const ownAffairs = new Set([
  'user_message_chunk',
  'available_commands_update',
  'current_mode_update',
  'config_option_update',
  'session_info_update',
]);

/** Reads ACP v1 updates, and by their names those that may come later. */
export function createTurnUpdates(
  emit: (update: AgentUpdate) => void,
  mcpServers: readonly string[] = [],
): TurnUpdates {
  const tools = createToolUpdates(emit, mcpServers);
  let open: { kind: 'message' | 'thought'; id: unknown; text: string } | undefined;
  let said: string[] = [];
  let hasUsage = false;
  let context: AgentUpdate | undefined;

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

  /** Our own program says what each call of its model has cost; others only how full its context is. */
  function usage(update: Fields): void {
    const tokens = fields(fields(update._meta)?.tagalong);
    if (tokens) {
      hasUsage = true;
      emit(usageOf(tokens));
    } else {
      const cost = fields(update.cost);
      const amount = cost?.currency === 'USD' && typeof cost.amount === 'number' ? cost.amount : undefined;
      context = {
        kind: 'context',
        usedTokens: count(update.used),
        sizeTokens: count(update.size),
        ...(amount === undefined ? {} : { costUsd: amount }),
      };
    }
  }

  return {
    push(value) {
      const update = fields(value);
      if (!update) return;
      const { sessionUpdate } = update;
      switch (sessionUpdate) {
        case 'agent_message_chunk':
          return chunk('message', update);
        case 'agent_thought_chunk':
          return chunk('thought', update);
        case 'tool_call':
        case 'tool_call_update':
          flush();
          said = [];
          return tools.push(update);
        case 'plan':
          return emit({ kind: 'plan', entries: planEntries(update.entries) });
        case 'usage_update':
          return usage(update);
        case 'notice':
          return emit(noticeOf(update));
        default:
          if (!ownAffairs.has(String(sessionUpdate))) emit(unknownUpdate(update));
      }
    },
    end(cost) {
      flush();
      tools.end();
      if (context) emit(context);
      const tokens = fields(cost);
      if (tokens && !hasUsage) emit(usageOf(tokens));
      return clip(said.join('\n\n').trim(), maxTextChars);
    },
  };
}

function usageOf(tokens: Fields): AgentUpdate {
  const [cacheReadTokens, cacheWriteTokens] = [
    count(tokens.cachedReadTokens),
    count(tokens.cachedWriteTokens),
  ];
  return {
    kind: 'usage',
    inputTokens: count(tokens.inputTokens),
    outputTokens: count(tokens.outputTokens),
    ...(cacheReadTokens > 0 ? { cacheReadTokens } : {}),
    ...(cacheWriteTokens > 0 ? { cacheWriteTokens } : {}),
  };
}

function noticeOf(update: Fields): AgentUpdate {
  const description = typeof update.description === 'string' ? `\n${update.description}` : '';
  return {
    kind: 'notice',
    severity: name(update.severity) || 'info',
    text: clip(
      `${typeof update.title === 'string' ? update.title : ''}${description}`.trim(),
      maxDetailChars,
    ),
  };
}

function unknownUpdate(update: Fields): AgentUpdate {
  const { sessionUpdate, _meta, ...detail } = update;
  const small = JSON.stringify(detail).length <= maxDetailChars;
  return { kind: 'unknown', name: name(sessionUpdate) || 'unnamed', detail: small ? detail : {} };
}

function planEntries(entries: unknown): { content: string; status: string }[] {
  return (Array.isArray(entries) ? entries : []).slice(0, 200).map((entry) => ({
    content: clip(String(fields(entry)?.content ?? ''), 2_000),
    status: name(fields(entry)?.status) || 'pending',
  }));
}
