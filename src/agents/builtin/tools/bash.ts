import { z } from 'zod';
import { runProcess } from '../run-process.ts';
import { defineTool } from '../tool.ts';

const defaultTimeoutMs = 120_000;
const maxTimeoutMs = 600_000;

export const bash = defineTool({
  name: 'bash',
  kind: 'execute',
  description:
    'Runs a command with bash in the workspace and answers its output. Each call is a new shell. It has no terminal and no standard input. The network is reached by a proxy that allows listed hosts only.',
  input: z.object({
    command: z.string().min(1).describe('What bash runs.'),
    timeout_ms: z
      .number()
      .int()
      .min(1)
      .max(maxTimeoutMs)
      .optional()
      .describe(`Ended after this many milliseconds; ${defaultTimeoutMs} unless told.`),
  }),
  async run(input, context) {
    const timeoutMs = input.timeout_ms ?? defaultTimeoutMs;
    const result = await runProcess({
      file: '/bin/bash',
      args: ['-c', input.command],
      cwd: context.workspace,
      timeoutMs,
      signal: context.signal,
    });
    const lines = [result.output.trimEnd()];
    if (result.killed === 'timeout') lines.push(`[ended after ${timeoutMs} ms: it took too long]`);
    else if (result.killed === 'cancelled') lines.push('[ended: the turn was cancelled]');
    else if (result.signal) lines.push(`[ended by ${result.signal}]`);
    else if (result.code !== 0) lines.push(`[exit code ${result.code}]`);
    const text = lines.filter(Boolean).join('\n');
    return { text: text || '[no output]', isError: result.code !== 0 || result.killed !== undefined };
  },
});
