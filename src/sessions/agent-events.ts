import type { AgentUpdate } from '../agents/program.ts';
import type { NewEvent } from './event-log.ts';

/** What one update of an agent program is in the log, in the types of the Managed Agents API; undefined for what is told elsewhere. Pure. */
export function agentEvent(update: AgentUpdate): NewEvent | undefined {
  switch (update.kind) {
    case 'message':
      return { type: 'agent.message', payload: { content: [{ type: 'text', text: update.text }] } };
    case 'thought':
      // The API's own event carries no text; ours beside it would only invite reading tea leaves.
      return { type: 'agent.thinking', payload: {} };
    case 'tool_use':
      return update.mcpServer === undefined
        ? {
            type: 'agent.tool_use',
            payload: { name: update.name, input: update.input, tool_use_id: update.toolUseId },
          }
        : {
            type: 'agent.mcp_tool_use',
            payload: {
              name: update.name,
              input: update.input,
              mcp_server_name: update.mcpServer,
              tool_use_id: update.toolUseId,
            },
          };
    case 'tool_result': {
      const content = [{ type: 'text', text: update.text }];
      return update.mcpServer === undefined
        ? {
            type: 'agent.tool_result',
            payload: { tool_use_id: update.toolUseId, content, is_error: update.isError },
          }
        : {
            type: 'agent.mcp_tool_result',
            payload: { mcp_tool_use_id: update.toolUseId, content, is_error: update.isError },
          };
    }
    case 'plan':
      return { type: 'tagalong.plan', payload: { entries: update.entries } };
    case 'usage':
      // The egress process has read what the model itself said of each request.
      return undefined;
    case 'diff':
      return {
        type: 'tagalong.file_change',
        payload: {
          tool_use_id: update.toolUseId,
          path: update.path,
          old_text: update.oldText,
          new_text: update.newText,
        },
      };
    case 'context':
      return {
        type: 'tagalong.context',
        payload: {
          used_tokens: update.usedTokens,
          size_tokens: update.sizeTokens,
          cost_usd: update.costUsd ?? null,
        },
      };
    case 'notice':
      return { type: 'tagalong.notice', payload: { severity: update.severity, text: update.text } };
    case 'unknown':
      return { type: 'tagalong.unknown_update', payload: { name: update.name, detail: update.detail } };
  }
}
