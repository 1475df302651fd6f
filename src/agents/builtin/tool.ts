import type { ToolKind } from '@agentclientprotocol/sdk';
import { z } from 'zod';
import { boundText } from './text.ts';

export interface ToolOutcome {
  text: string;
  isError: boolean;
}

export interface ToolContext {
  /** What relative paths are relative to. */
  workspace: string;
  signal: AbortSignal;
}

/** What the model can call: one of ours or one of an MCP server. */
export interface AgentTool {
  name: string;
  description: string;
  /** JSON Schema of its input. */
  inputSchema: Record<string, unknown>;
  kind: ToolKind;
  mcpServer?: string;
  /** Never rejects: a failure is an outcome. */
  run(input: unknown, context: ToolContext): Promise<ToolOutcome>;
}

/** A tool of ours: checks the input, turns what is thrown into an outcome, and bounds the text. */
export function defineTool<Input extends z.ZodObject>(definition: {
  name: string;
  description: string;
  kind: ToolKind;
  input: Input;
  run(input: z.output<Input>, context: ToolContext): Promise<string | ToolOutcome>;
}): AgentTool {
  const { $schema: _, ...inputSchema } = z.toJSONSchema(definition.input, { io: 'input' });
  return {
    name: definition.name,
    description: definition.description,
    kind: definition.kind,
    inputSchema,
    async run(input, context) {
      const parsed = definition.input.safeParse(input);
      if (!parsed.success) {
        return { text: `The input is wrong: ${z.prettifyError(parsed.error)}`, isError: true };
      }
      try {
        const result = await definition.run(parsed.data, context);
        const outcome = typeof result === 'string' ? { text: result, isError: false } : result;
        return { ...outcome, text: boundText(outcome.text) };
      } catch (error) {
        return { text: boundText(error instanceof Error ? error.message : String(error)), isError: true };
      }
    },
  };
}
