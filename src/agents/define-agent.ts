import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import {
  agent,
  type ContentBlock,
  ndJsonStream,
  PROTOCOL_VERSION,
  RequestError,
  type SessionUpdate,
} from '@agentclientprotocol/sdk';

/** One turn of a conversation: what was asked, what is known, and ways to show what is done. */
export interface AgentTurn {
  /** The waiting messages, each between delimiters that name its author and whether that person may instruct. */
  text: string;
  /** The earlier turns of this conversation, oldest first, also from before a restart. */
  history: readonly { asked: string; answered: string }[];
  /** Who the agent is to be, and how it is to behave. */
  instructions: string;
  /** As the agent's setting says: `claude-…`, `openai/…`. */
  model: string;
  /** The tools of the place that it is asked from, as MCP servers over HTTP. */
  mcpServers: readonly { name: string; url: string }[];
  workspace: string;
  /** Aborted when somebody ends the turn. */
  signal: AbortSignal;
  /** Shows a part of the answer at once. What is said last, after the last tool, is the reply. */
  say(text: string): void;
  think(text: string): void;
  plan(entries: readonly { content: string; status: 'pending' | 'in_progress' | 'completed' }[]): void;
  /** Runs something and shows it as a tool call with its input and its outcome. Rejects with what `run` rejects with. */
  tool<Result>(
    name: string,
    input: Record<string, unknown>,
    run: () => Promise<Result> | Result,
  ): Promise<Result>;
}

export interface AgentDefinition {
  /** Letters, digits and dashes; names the folder of its memory too. */
  name: string;
  version?: string;
  /** Runs one turn. What it resolves with is said; empty when everything was said by `say` already. */
  turn(turn: AgentTurn): Promise<string> | string;
}

interface Conversation {
  id: string;
  instructions: string;
  model: string;
  mcpServers: { name: string; url: string }[];
  workspace: string;
  history: { asked: string; answered: string }[];
  running: AbortController | undefined;
}

interface Opening {
  cwd: string;
  mcpServers: readonly object[];
  _meta?: Record<string, unknown> | null | undefined;
}

/**
 * An agent program of one's own: speaks ACP on standard input and output until they are closed, and keeps the memory of
 * its conversations in the home folder. Call it once, as the whole of the program.
 */
export function defineAgent(definition: AgentDefinition): void {
  const { name, version = '1' } = definition;
  if (!/^[a-z0-9][a-z0-9-]*$/i.test(name)) {
    throw new TypeError(`"${name}" is no name for an agent: use letters, digits and dashes.`);
  }
  // The protocol has standard output to itself.
  globalThis.console = new console.Console(process.stderr, process.stderr);
  const memory = createMemory(join(homedir(), '.tagalong', name));
  const conversations = new Map<string, Conversation>();
  const open = (id: string, history: Conversation['history'], params: Opening) => {
    conversations.set(id, { id, history, ...settingsOf(params), running: undefined });
  };

  const connection = agent({ name })
    .onRequest('initialize', () => ({
      protocolVersion: PROTOCOL_VERSION,
      agentCapabilities: { loadSession: true, mcpCapabilities: { http: true } },
      agentInfo: { name, version },
    }))
    .onRequest('session/new', ({ params }) => {
      const sessionId = `conv-${randomBytes(12).toString('hex')}`;
      memory.create(sessionId);
      open(sessionId, [], params);
      return { sessionId };
    })
    .onRequest('session/load', async ({ params, client }) => {
      const { sessionId } = params;
      const history = memory.read(sessionId);
      if (!history) throw RequestError.resourceNotFound(sessionId);
      open(sessionId, history, params);
      for (const { asked, answered } of history) {
        await client.notify('session/update', { sessionId, update: chunk('user_message_chunk', asked) });
        await client.notify('session/update', { sessionId, update: chunk('agent_message_chunk', answered) });
      }
      return {};
    })
    .onRequest('session/prompt', async ({ params, client }) => {
      const { sessionId } = params;
      const conversation = conversations.get(sessionId);
      if (!conversation) throw RequestError.resourceNotFound(sessionId);
      if (conversation.running) throw RequestError.invalidRequest({ details: 'a turn is running already' });
      const stop = new AbortController();
      conversation.running = stop;
      const asked = params.prompt.map(blockText).filter(Boolean).join('\n\n');
      memory.append(sessionId, { asked });
      // Sent in order; the answer to the prompt is queued behind them.
      const update = (value: SessionUpdate) =>
        void client.notify('session/update', { sessionId, update: value });
      const running = createTurn(conversation, asked, stop.signal, update);
      try {
        const last = await definition.turn(running.turn);
        if (last !== '') running.turn.say(last);
        return { stopReason: stop.signal.aborted ? ('cancelled' as const) : ('end_turn' as const) };
      } catch (error) {
        if (stop.signal.aborted) return { stopReason: 'cancelled' as const };
        console.error(error);
        throw RequestError.internalError({ details: error instanceof Error ? error.message : String(error) });
      } finally {
        const answered = running.said();
        memory.append(sessionId, { answered });
        conversation.history.push({ asked, answered });
        conversation.running = undefined;
      }
    })
    .onNotification('session/cancel', ({ params }) => {
      conversations.get(params.sessionId)?.running?.abort(new Error('The turn was cancelled.'));
    })
    .connect(
      ndJsonStream(
        Writable.toWeb(process.stdout) as WritableStream<Uint8Array>,
        Readable.toWeb(process.stdin) as unknown as ReadableStream<Uint8Array>,
      ),
    );
  // Who speaks to us is gone: so are we.
  connection.closed.then(() => process.exit(0));
}

function createTurn(
  conversation: Conversation,
  text: string,
  signal: AbortSignal,
  update: (update: SessionUpdate) => void,
): { turn: AgentTurn; said(): string } {
  const said: string[] = [];
  let calls = 0;
  const turn: AgentTurn = {
    text,
    signal,
    history: [...conversation.history],
    instructions: conversation.instructions,
    model: conversation.model,
    mcpServers: conversation.mcpServers,
    workspace: conversation.workspace,
    say(part) {
      said.push(part);
      update(chunk('agent_message_chunk', part));
    },
    think: (part) => update(chunk('agent_thought_chunk', part)),
    plan: (entries) =>
      update({
        sessionUpdate: 'plan',
        entries: entries.map((entry) => ({ ...entry, priority: 'medium' })),
      }),
    async tool(name, input, run) {
      calls += 1;
      const toolCallId = `call-${calls}-${randomBytes(4).toString('hex')}`;
      update({ sessionUpdate: 'tool_call', toolCallId, title: name, status: 'in_progress', rawInput: input });
      const end = (status: 'completed' | 'failed', outcome: string) =>
        update({
          sessionUpdate: 'tool_call_update',
          toolCallId,
          status,
          content: [{ type: 'content', content: { type: 'text', text: outcome } }],
        });
      try {
        const result = await run();
        end('completed', typeof result === 'string' ? result : (JSON.stringify(result) ?? ''));
        return result;
      } catch (error) {
        end('failed', error instanceof Error ? error.message : String(error));
        throw error;
      }
    },
  };
  return { turn, said: () => said.join('') };
}

function settingsOf(params: Opening) {
  const { system, model } = (params._meta?.tagalong ?? {}) as { system?: unknown; model?: unknown };
  const servers = params.mcpServers as { type?: unknown; name?: unknown; url?: unknown }[];
  return {
    instructions: typeof system === 'string' ? system : '',
    model: typeof model === 'string' ? model : '',
    mcpServers: servers.flatMap(({ type, name, url }) =>
      type === 'http' && typeof name === 'string' && typeof url === 'string' ? [{ name, url }] : [],
    ),
    workspace: params.cwd,
  };
}

/** One file per conversation, one line per thing said: what was asked is there before it is answered. */
function createMemory(folder: string) {
  const fileOf = (id: string) => join(folder, `${id}.jsonl`);
  return {
    create(id: string): void {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      appendFileSync(fileOf(id), '');
    },
    append: (id: string, line: { asked: string } | { answered: string }): void =>
      appendFileSync(fileOf(id), `${JSON.stringify(line)}\n`),
    read(id: string): Conversation['history'] | undefined {
      if (!/^conv-[0-9a-f]+$/.test(id) || !existsSync(fileOf(id))) return undefined;
      const history: Conversation['history'] = [];
      for (const line of readFileSync(fileOf(id), 'utf8').split('\n')) {
        const said = parseLine(line);
        const last = history.at(-1);
        if (said?.asked !== undefined) history.push({ asked: said.asked, answered: '' });
        else if (said?.answered !== undefined && last) last.answered = said.answered;
      }
      return history;
    },
  };
}

/** A line that was cut off by a crash says nothing. */
function parseLine(line: string): { asked?: string; answered?: string } | undefined {
  try {
    return JSON.parse(line) as { asked?: string; answered?: string };
  } catch {
    return undefined;
  }
}

const chunk = <Kind extends 'user_message_chunk' | 'agent_message_chunk' | 'agent_thought_chunk'>(
  sessionUpdate: Kind,
  text: string,
) => ({ sessionUpdate, content: { type: 'text' as const, text } });

function blockText(block: ContentBlock): string {
  if (block.type === 'text') return block.text;
  return block.type === 'resource_link' ? `${block.name}: ${block.uri}` : '';
}
