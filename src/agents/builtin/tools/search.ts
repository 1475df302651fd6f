import { glob as findFiles } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import { runProcess } from '../run-process.ts';
import { defineTool } from '../tool.ts';

const maxPaths = 500;
const searchTimeoutMs = 60_000;
const skippedFolders = ['.git', 'node_modules'];

const folder = z.string().optional().describe('Folder to search; the workspace unless told.');

export const glob = defineTool({
  name: 'glob',
  kind: 'search',
  description: 'Finds files by a pattern such as **/*.ts. Leaves out .git and node_modules.',
  input: z.object({ pattern: z.string().min(1), path: folder }),
  async run(input, context) {
    const cwd = resolve(context.workspace, input.path ?? '.');
    const found: string[] = [];
    const exclude = (name: string) => skippedFolders.some((skipped) => name.split('/').includes(skipped));
    for await (const name of findFiles(input.pattern, { cwd, exclude })) {
      context.signal.throwIfAborted();
      if (found.length === maxPaths) {
        found.push(`[more than ${maxPaths} files: narrow the pattern]`);
        break;
      }
      found.push(name);
    }
    return found.length === 0 ? 'No file matches.' : found.join('\n');
  },
});

export const grep = defineTool({
  name: 'grep',
  kind: 'search',
  description:
    'Searches file contents by an extended regular expression; answers file, line number and line. Leaves out binary files, .git and node_modules.',
  input: z.object({
    pattern: z.string().min(1),
    path: z.string().optional().describe('File or folder to search; the workspace unless told.'),
    include: z.string().optional().describe('Only files whose name matches this, such as *.ts.'),
    ignore_case: z.boolean().optional(),
  }),
  async run(input, context) {
    const result = await runProcess({
      file: 'grep',
      args: [
        '-rnIE',
        ...(input.ignore_case ? ['-i'] : []),
        ...skippedFolders.map((name) => `--exclude-dir=${name}`),
        ...(input.include ? [`--include=${input.include}`] : []),
        ...['-e', input.pattern, '--', input.path ?? '.'],
      ],
      cwd: context.workspace,
      timeoutMs: searchTimeoutMs,
      signal: context.signal,
    });
    if (result.killed) throw new Error('The search took too long. Narrow it.');
    // grep: 1 is "nothing found", 2 may have found something all the same.
    if (result.code === 1) return 'Nothing found.';
    return { text: result.output.trimEnd() || 'Nothing found.', isError: result.code !== 0 };
  },
});
