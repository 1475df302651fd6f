import { clip, type Fields, fields, name, textOf } from './fields.ts';
import type { AgentUpdate } from './program.ts';

const maxResultChars = 100_000;
const maxDiffChars = 50_000;
const maxDiffs = 100;

interface ToolCall {
  name: string;
  input: Fields | undefined;
  mcpServer: string | undefined;
  content: unknown;
  output: unknown;
  /** What its terminal showed, where the program runs one of its own. */
  terminal: string;
  told: boolean;
}

/** The tool calls of one turn, by their ids. */
export interface ToolUpdates {
  push(update: Fields): void;
  /** Tells of the calls that were announced and never ended. */
  end(): void;
}

/**
 * Follows tool calls from their announcement to their outcome and tells of each twice: when its input is known, and
 * when it has ended.
 *
 * @param mcpServers names of the servers whose tools programs call under names of their own making
 */
export function createToolUpdates(
  emit: (update: AgentUpdate) => void,
  mcpServers: readonly string[],
): ToolUpdates {
  const calls = new Map<string, ToolCall>();

  function tell(id: string, call: ToolCall): void {
    if (call.told) return;
    call.told = true;
    emit({ kind: 'tool_use', toolUseId: id, name: call.name, input: call.input ?? {}, ...serverOf(call) });
  }

  function finish(id: string, call: ToolCall, isError: boolean): void {
    calls.delete(id);
    for (const diff of diffsOf(call.content)) emit({ kind: 'diff', toolUseId: id, ...diff });
    const text = clip(resultText(call), maxResultChars);
    emit({ kind: 'tool_result', toolUseId: id, text, isError, ...serverOf(call) });
  }

  return {
    push(update) {
      const id = name(update.toolCallId);
      if (id === '') return;
      const known = calls.get(id);
      const call = known ?? announced(update, mcpServers);
      calls.set(id, call);
      const input = fields(update.rawInput);
      if (input && Object.keys(input).length > 0) call.input = input;
      const server = fields(fields(update._meta)?.tagalong)?.mcpServer;
      if (typeof server === 'string') call.mcpServer = name(server);
      if (update.content !== undefined && update.content !== null) call.content = update.content;
      if (update.rawOutput !== undefined) call.output = update.rawOutput;
      const shown = fields(fields(update._meta)?.terminal_output_delta)?.data;
      if (typeof shown === 'string') call.terminal = clip(call.terminal + shown, maxResultChars);
      const isDone = update.status === 'completed' || update.status === 'failed';
      // Some programs announce a call first and send its input, or the rest of it, after.
      const isOnlyAnnounced = !known && update.status === 'pending';
      if (isDone || (call.input && !isOnlyAnnounced)) tell(id, call);
      if (isDone) finish(id, call, update.status === 'failed');
    },
    end() {
      for (const [id, call] of calls) tell(id, call);
      calls.clear();
    },
  };
}

function announced(update: Fields, mcpServers: readonly string[]): ToolCall {
  const meta = fields(update._meta);
  const own = name(fields(meta?.claudeCode)?.toolName);
  const said = own || name(update.name) || name(update.title) || 'tool';
  return {
    ...ofServer(said, mcpServers),
    input: undefined,
    content: undefined,
    output: undefined,
    terminal: '',
    told: false,
  };
}

/** Programs put the server's name in front of its tools': `mcp__slack__x`, `mcp.slack.x`, `slack_x`. */
function ofServer(said: string, mcpServers: readonly string[]): Pick<ToolCall, 'name' | 'mcpServer'> {
  for (const server of mcpServers) {
    for (const prefix of [
      `mcp__${server}__`,
      `mcp.${server}.`,
      `mcp_${server}_`,
      `${server}.`,
      `${server}_`,
    ]) {
      if (said.startsWith(prefix) && said.length > prefix.length) {
        return { name: said.slice(prefix.length), mcpServer: server };
      }
    }
  }
  return { name: said, mcpServer: undefined };
}

const serverOf = ({ mcpServer }: ToolCall) => (mcpServer === undefined ? {} : { mcpServer });

function contentItems(content: unknown): (Fields | undefined)[] {
  return (Array.isArray(content) ? content : []).map(fields);
}

function diffsOf(content: unknown): { path: string; oldText: string | null; newText: string }[] {
  return contentItems(content)
    .filter((part) => part?.type === 'diff')
    .slice(0, maxDiffs)
    .map((part) => ({
      path: clip(String(part?.path ?? ''), 1_000),
      oldText: typeof part?.oldText === 'string' ? clip(part.oldText, maxDiffChars) : null,
      newText: typeof part?.newText === 'string' ? clip(part.newText, maxDiffChars) : '',
    }));
}

function resultText(call: ToolCall): string {
  const parts = contentItems(call.content).map((part) => {
    if (part?.type === 'content') return textOf(part.content);
    return part?.type === 'diff' ? `Changed ${name(part.path)}.` : '';
  });
  const text = parts.filter(Boolean).join('\n') || call.terminal;
  if (text !== '' || call.output === undefined || call.output === null) return text;
  return typeof call.output === 'string' ? call.output : JSON.stringify(call.output);
}
