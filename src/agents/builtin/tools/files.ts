import { mkdir, open, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { defineTool } from '../tool.ts';

const maxReadBytes = 16 * 1024 * 1024;
const defaultLines = 2_000;
const maxLineChars = 2_000;

const path = z.string().min(1).describe('Absolute, or relative to the workspace.');

/** Reads a whole regular file as text; a pipe or a device would never end. */
async function readText(file: string): Promise<string> {
  const found = await stat(file);
  if (found.isDirectory()) throw new Error(`${file} is a folder. List it with the bash tool.`);
  if (!found.isFile()) throw new Error(`${file} is not a regular file.`);
  if (found.size > maxReadBytes) {
    throw new Error(
      `${file} has ${found.size} bytes, too much to read. Use head, tail or grep with the bash tool.`,
    );
  }
  const content = await readFile(file);
  if (content.subarray(0, 8_000).includes(0)) throw new Error(`${file} is not text.`);
  return content.toString('utf8');
}

export const read = defineTool({
  name: 'read',
  kind: 'read',
  description: `Reads a text file, with line numbers; ${defaultLines} lines unless told.`,
  input: z.object({
    path,
    offset: z.number().int().min(1).optional().describe('First line to read, from 1.'),
    limit: z.number().int().min(1).optional().describe('How many lines.'),
  }),
  async run(input, context) {
    const text = await readText(resolve(context.workspace, input.path));
    if (text === '') return '[empty file]';
    const lines = text.replace(/\n$/, '').split('\n');
    const first = (input.offset ?? 1) - 1;
    const chosen = lines.slice(first, first + (input.limit ?? defaultLines));
    if (chosen.length === 0) throw new Error(`The file has ${lines.length} lines only.`);
    const shown = chosen.map((line, index) => {
      const cut = line.length > maxLineChars ? `${line.slice(0, maxLineChars)} [line cut]` : line;
      return `${first + index + 1}\t${cut}`;
    });
    const last = first + chosen.length;
    if (last < lines.length) shown.push(`[lines ${first + 1} to ${last} of ${lines.length}]`);
    return shown.join('\n');
  },
});

export const write = defineTool({
  name: 'write',
  kind: 'edit',
  description: 'Writes a file whole, and makes its folders. What was there is replaced.',
  input: z.object({ path, content: z.string() }),
  async run(input, context) {
    const file = resolve(context.workspace, input.path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, input.content);
    return `Wrote ${Buffer.byteLength(input.content)} bytes to ${file}.`;
  },
});

export const edit = defineTool({
  name: 'edit',
  kind: 'edit',
  description:
    'Replaces a piece of a text file. `old_string` has to be in it exactly, and once unless `replace_all` is set.',
  input: z.object({
    path,
    old_string: z.string().min(1),
    new_string: z.string(),
    replace_all: z.boolean().optional(),
  }),
  async run(input, context) {
    const file = resolve(context.workspace, input.path);
    const pieces = (await readText(file)).split(input.old_string);
    const count = pieces.length - 1;
    if (count === 0)
      throw new Error(`old_string is not in ${file}. Read the file and copy the text exactly.`);
    if (count > 1 && !input.replace_all) {
      throw new Error(
        `old_string is ${count} times in ${file}. Take more of its surroundings, or set replace_all.`,
      );
    }
    // In place, so that mode and links stay.
    const handle = await open(file, 'r+');
    try {
      const content = pieces.join(input.new_string);
      await handle.truncate(0);
      await handle.write(content, 0);
    } finally {
      await handle.close();
    }
    return `Replaced ${count} ${count === 1 ? 'place' : 'places'} in ${file}.`;
  },
});
