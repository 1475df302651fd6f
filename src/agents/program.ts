import type { Readable, Writable } from 'node:stream';

/** How an agent program is started in a sandbox. */
export interface AgentProgram {
  name: string;
  command: readonly string[];
  mounts: readonly { from: string; to: string }[];
  env: Readonly<Record<string, string>>;
  /** Its settings, by file name; it finds them read-only in `inside.settings`. */
  files: Readonly<Record<string, string>>;
  /** The mode to put each conversation into, when the program has it. */
  modeId?: string;
  startTimeoutMs?: number;
}

export interface AgentInstructions {
  /** Who it is and how it behaves here: the agent's `system` joined with what the session says of itself. */
  system: string;
  model: string;
}

export interface McpServerAddress {
  name: string;
  /** `http://tagalong.internal/mcp/slack` … */
  url: string;
}

/** What happens in a turn, whatever the program: one shape for the event log. */
export type AgentUpdate =
  | { kind: 'message'; text: string }
  | { kind: 'thought'; text: string }
  | { kind: 'tool_use'; toolUseId: string; name: string; input: Record<string, unknown>; mcpServer?: string }
  | { kind: 'tool_result'; toolUseId: string; text: string; isError: boolean; mcpServer?: string }
  | { kind: 'plan'; entries: { content: string; status: string }[] }
  /** What a tool call has changed in a file; `oldText` is null for a new one. Comes before its result. */
  | { kind: 'diff'; toolUseId: string; path: string; oldText: string | null; newText: string }
  | {
      kind: 'usage';
      inputTokens: number;
      outputTokens: number;
      cacheReadTokens?: number;
      cacheWriteTokens?: number;
    }
  /** How full the model's context is at the end of the turn, and what the conversation has cost so far. */
  | { kind: 'context'; usedTokens: number; sizeTokens: number; costUsd?: number }
  /** Something that the program wants known beside its answer. */
  | { kind: 'notice'; severity: string; text: string }
  | { kind: 'unknown'; name: string; detail: Record<string, unknown> };

export interface PromptResult {
  stopReason: 'end_turn' | 'max_tokens' | 'max_turn_requests' | 'refusal' | 'cancelled';
  /** The last assistant message of the turn: what it says after its last tool call. */
  finalMessage: string;
}

export class AgentError extends Error {
  override name = 'AgentError';
  readonly code: 'start_failed' | 'protocol' | 'died' | 'flood' | 'model_failed' | 'disk_full';
  constructor(code: AgentError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** One conversation with an agent program over ACP. What comes from it is untrusted. */
export interface AgentConnection {
  /** The program's own id of the conversation. */
  programSessionId: string;
  /** Whether its memory of an earlier run was loaded. */
  resumed: boolean;
  /** Runs one turn. Updates arrive in order; text chunks are joined into whole messages. */
  prompt(text: string, onUpdate: (update: AgentUpdate) => void): Promise<PromptResult>;
  /** Ends the running turn; `prompt` then answers `cancelled`. */
  cancel(): Promise<void>;
  /** Rejects pending calls; does not close the sandbox. */
  dispose(): void;
}

export interface ConnectInput {
  stdin: Writable;
  stdout: Readable;
  instructions: AgentInstructions;
  mcpServers: readonly McpServerAddress[];
  /** Inside the sandbox. */
  cwd: string;
  /** Load this conversation when the program still has it; else start a new one. */
  programSessionId: string | undefined;
  /** The mode to put the conversation into, where the program has it. */
  modeId?: string | undefined;
  startTimeoutMs?: number | undefined;
}
