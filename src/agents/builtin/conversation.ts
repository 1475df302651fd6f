import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ContentBlock, SessionUpdate, StopReason } from '@agentclientprotocol/sdk';
import type { McpServer, McpTools } from './mcp.ts';
import { ownTools } from './tools/index.ts';
import type { Transcript } from './transcript.ts';

export interface ConversationSettings {
  cwd: string;
  system: string;
  model: string;
  mcpServers: readonly McpServer[];
}

/** One conversation that is open: its memory, its tools, and the turn that runs. */
export interface Conversation {
  prompt(blocks: readonly ContentBlock[], update: (update: SessionUpdate) => void): Promise<StopReason>;
  cancel(): void;
}

const heavyParts = () => Promise.all([import('./turn.ts'), import('./mcp.ts'), import('./instructions.ts')]);

/** Loads what the first turn needs; called early, so that it is there when the turn comes. */
export const warmUp = () => void heavyParts();

/** Opens a conversation over its transcript. The MCP servers are connected at once, and again where that failed. */
export function openConversation(transcript: Transcript, settings: ConversationSettings): Conversation {
  const workspace = existsSync(settings.cwd) ? settings.cwd : process.cwd();
  let running: AbortController | undefined;
  let tools: Promise<McpTools> | undefined;
  const connect = async (): Promise<McpTools> => {
    const [, { connectMcp }] = await heavyParts();
    return connectMcp(
      settings.mcpServers,
      ownTools.map((tool) => tool.name),
    );
  };
  tools = connect();
  tools.catch(() => {});

  async function reachableTools(): Promise<McpTools> {
    const known = await tools?.catch(() => undefined);
    if (known && known.unreachable.length === 0) return known;
    await known?.close();
    tools = connect();
    return tools;
  }

  return {
    async prompt(blocks, update) {
      if (running) throw new Error('a turn is running already');
      const turn = new AbortController();
      running = turn;
      try {
        const [{ runTurn }, , { systemText }] = await heavyParts();
        const mcp = await reachableTools();
        transcript.append({
          role: 'user',
          content: blocks.map(blockText).filter(Boolean).join('\n\n') || '(empty)',
        });
        const stopReason = await runTurn({
          model: settings.model,
          system: systemText({ system: settings.system, workspace, unreachable: mcp.unreachable }),
          workspace,
          transcript,
          tools: [...ownTools, ...mcp.tools],
          signal: turn.signal,
          update,
        });
        transcript.settle();
        return stopReason;
      } finally {
        running = undefined;
      }
    },
    cancel: () => running?.abort(new Error('cancelled')),
  };
}

function blockText(block: ContentBlock): string {
  if (block.type === 'text') return block.text;
  if (block.type === 'resource_link') return `${block.name}: ${block.uri}`;
  return `[${block.type} left out]`;
}

/** Where the transcripts are kept. */
export const transcriptFolder = (home: string): string => join(home, '.tagalong', 'sessions');
