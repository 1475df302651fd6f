import type { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { boundText } from './text.ts';
import type { AgentTool, ToolOutcome } from './tool.ts';

const connectTimeoutMs = 10_000;
const callTimeoutMs = 120_000;
const maxNameChars = 64;
const maxTools = 200;

export interface McpServer {
  name: string;
  url: string;
  headers: readonly { name: string; value: string }[];
}

/** The tools of MCP servers, and which of the servers could not be reached. */
export interface McpTools {
  tools: AgentTool[];
  unreachable: string[];
  close(): Promise<void>;
}

interface Listed {
  server: string;
  client: Client;
  name: string;
  description: string;
  inputSchema: Record<string, unknown>;
  readOnly: boolean;
}

/** Connects to every server at once, over Streamable HTTP. A server that fails is named, the others are used. */
export async function connectMcp(servers: readonly McpServer[], taken: readonly string[]): Promise<McpTools> {
  if (servers.length === 0) return { tools: [], unreachable: [], close: async () => {} };
  const [{ Client }, { StreamableHTTPClientTransport }] = await Promise.all([
    import('@modelcontextprotocol/sdk/client/index.js'),
    import('@modelcontextprotocol/sdk/client/streamableHttp.js'),
  ]);
  const clients: Client[] = [];
  const unreachable: string[] = [];
  const listed = await Promise.all(
    servers.map(async (server): Promise<Listed[]> => {
      const client = new Client({ name: 'tagalong-agent', version: '1' });
      try {
        const transport = new StreamableHTTPClientTransport(new URL(server.url), {
          requestInit: {
            headers: Object.fromEntries(server.headers.map(({ name, value }) => [name, value])),
          },
        });
        await client.connect(transport, { timeout: connectTimeoutMs });
        clients.push(client);
        return await listTools(client, server.name);
      } catch {
        unreachable.push(server.name);
        await client.close().catch(() => {});
        return [];
      }
    }),
  );
  return {
    tools: nameTools(listed.flat().slice(0, maxTools), taken),
    unreachable,
    async close() {
      await Promise.all(clients.map((client) => client.close().catch(() => {})));
    },
  };
}

async function listTools(client: Client, server: string): Promise<Listed[]> {
  const found: Listed[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.listTools(cursor === undefined ? {} : { cursor }, {
      timeout: connectTimeoutMs,
    });
    for (const tool of page.tools) {
      found.push({
        server,
        client,
        name: tool.name,
        description: tool.description ?? tool.title ?? '',
        inputSchema: tool.inputSchema,
        readOnly: tool.annotations?.readOnlyHint ?? false,
      });
    }
    cursor = page.nextCursor;
  } while (cursor !== undefined && found.length < maxTools);
  return found;
}

/** A tool keeps its name where no other has it, else the server's comes before it. */
function nameTools(listed: readonly Listed[], taken: readonly string[]): AgentTool[] {
  const uses = new Map<string, number>();
  for (const name of [...taken, ...listed.map((tool) => tool.name)])
    uses.set(name, (uses.get(name) ?? 0) + 1);
  const names = new Set(taken);
  return listed.flatMap((tool) => {
    const wanted = uses.get(tool.name) === 1 ? tool.name : `${tool.server}_${tool.name}`;
    const name = wanted.replace(/[^a-zA-Z0-9_-]/g, '_').slice(0, maxNameChars);
    if (names.has(name)) return [];
    names.add(name);
    return [mcpTool(tool, name)];
  });
}

function mcpTool(tool: Listed, name: string): AgentTool {
  return {
    name,
    description: tool.description,
    inputSchema: tool.inputSchema,
    kind: tool.readOnly ? 'read' : 'other',
    mcpServer: tool.server,
    async run(input, { signal }) {
      try {
        const result = await tool.client.callTool(
          { name: tool.name, arguments: (input ?? {}) as Record<string, unknown> },
          undefined,
          { timeout: callTimeoutMs, signal },
        );
        return outcome(result);
      } catch (error) {
        return { text: boundText(error instanceof Error ? error.message : String(error)), isError: true };
      }
    },
  };
}

function outcome(result: Awaited<ReturnType<Client['callTool']>>): ToolOutcome {
  const content = Array.isArray(result.content) ? result.content : [];
  const parts = content.map((part: { type: string; text?: unknown }) =>
    part.type === 'text' && typeof part.text === 'string' ? part.text : `[${part.type} left out]`,
  );
  if (parts.length === 0 && result.structuredContent) parts.push(JSON.stringify(result.structuredContent));
  return { text: boundText(parts.join('\n') || '[no content]'), isError: result.isError === true };
}
