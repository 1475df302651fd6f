import type { IncomingMessage, ServerResponse } from 'node:http';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import type { Caller } from './caller.ts';
import type { RateLimit } from './rate.ts';
import { type CallDependencies, callTool, failure } from './tool-call.ts';
import { listTools } from './tool-list.ts';

export interface McpDependencies extends CallDependencies {
  calls: RateLimit;
}

/**
 * Answers one MCP request (Streamable HTTP, JSON answers, no sessions of MCP's own) for one caller. A server and a
 * transport per request: a stateless transport of the SDK serves one.
 */
export async function serveMcp(
  dependencies: McpDependencies,
  caller: Caller,
  request: IncomingMessage,
  response: ServerResponse,
  body: unknown,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const server = mcpServer(dependencies, caller, gone.signal);
  const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true });
  try {
    await server.connect(transport);
    await transport.handleRequest(request, response, body);
  } finally {
    await server.close();
  }
}

function mcpServer(dependencies: McpDependencies, caller: Caller, gone: AbortSignal): McpServer {
  const { adapters, calls, logger } = dependencies;
  const mcp = new McpServer(
    { name: `tagalong-${caller.provider}`, version: '1' },
    {
      capabilities: { tools: {} },
      instructions:
        'These tools act where this session was tagged. The last message of your turn is posted there by itself; do not post it with a tool as well.',
    },
  );
  // The low-level handlers, since what is listed and what a refusal says depend on the caller and each refused call is
  // recorded; the tool registry of `McpServer` would answer before that.
  mcp.server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: listTools(adapters[caller.provider].tools, caller.grants),
  }));
  mcp.server.setRequestHandler(CallToolRequestSchema, async ({ params }) => {
    const waitMs = calls.take(caller.sessionId);
    if (waitMs !== undefined) {
      return failure(`Too many calls: wait ${Math.ceil(waitMs / 1_000)} s before the next one.`);
    }
    try {
      return await callTool(dependencies, caller, params.name, params.arguments ?? {}, gone);
    } catch (error) {
      const message = error instanceof Error ? error.message.slice(0, 300) : 'unknown';
      logger.error({ sessionId: caller.sessionId, message }, 'a tool call could not be recorded');
      return failure('The call could not be recorded, so nothing was done. Try again in a moment.');
    }
  });
  return mcp;
}
