import type { Tool } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import type { Grants } from '../capabilities/capability.ts';
import { grantOf } from '../capabilities/decide.ts';
import type { ProviderTool } from '../providers/provider.ts';

const schemas = new WeakMap<ProviderTool, Tool['inputSchema']>();

/** What an agent sees in `tools/list`: what its publication grants. Pure. */
export function listTools(tools: readonly ProviderTool[], grants: Grants): Tool[] {
  return tools
    .filter((tool) => tool.listed && grantOf(tool.capability, grants) !== 'off')
    .map((tool) => ({
      name: tool.name,
      title: tool.title,
      description:
        grantOf(tool.capability, grants) === 'ask'
          ? `${tool.description}\n\nA person must approve each call (${tool.capability}): it answers waiting_for_approval at once, and you are told what became of it.`
          : tool.description,
      inputSchema: inputSchema(tool),
      annotations: { readOnlyHint: tool.effect === 'read', openWorldHint: true },
    }));
}

function inputSchema(tool: ProviderTool): Tool['inputSchema'] {
  const known = schemas.get(tool);
  if (known) return known;
  const { $schema: _, ...schema } = z.toJSONSchema(tool.input, { io: 'input' });
  const made = { ...schema, type: 'object' } as Tool['inputSchema'];
  schemas.set(tool, made);
  return made;
}

/** What is wrong with the input, field by field, in one text for a model. */
export function describeInputError(tool: string, error: z.ZodError): string {
  const issues = error.issues.slice(0, 10).map((issue) => {
    const field = issue.path.length > 0 ? issue.path.join('.') : '(the arguments as a whole)';
    return `- ${field}: ${issue.message}`;
  });
  return `The input of ${tool} is not valid:\n${issues.join('\n')}`;
}
