import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { ModelMessage, ToolCallPart, ToolModelMessage } from 'ai';

/**
 * The memory of one conversation, on disk: one JSON per line, each on the disk before work goes on. Where the disk is
 * full it goes on all the same, or the agent could not delete anything: what found no room is written with what comes
 * next.
 */
export interface Transcript {
  readonly messages: readonly ModelMessage[];
  append(message: ModelMessage): void;
  /** Tries once more to write what found no room; throws DiskFullError when there still is none. */
  settle(): void;
}

/** There is no room for the conversation: what was said since is forgotten with the process. */
export class DiskFullError extends Error {
  override name = 'DiskFullError';
}

const idPattern = /^conv_[0-9a-z]{20,40}$/;
const roles = new Set(['user', 'assistant', 'tool']);

/** What a tool call got whose result was never written: the program was ended while it ran. */
export const interruptedResult =
  'Interrupted: the program was ended while this ran. It is not known whether it took effect; look before you do it again.';

const fileOf = (folder: string, id: string): string | undefined =>
  idPattern.test(id) ? join(folder, `${id}.jsonl`) : undefined;

/** Starts an empty one. */
export function createTranscript(folder: string, id: string): Transcript {
  const file = fileOf(folder, id);
  if (!file) throw new Error(`${id} is no id of a conversation`);
  const transcript = openTranscript(file, []);
  transcript.write({ type: 'conversation', version: 1, id });
  return transcript;
}

/**
 * Reads one back; undefined when there is none. A last line that was cut off is dropped, lines that are no message are
 * skipped, and tool calls without a result get one that says so: a model refuses a conversation without.
 */
export function loadTranscript(folder: string, id: string): Transcript | undefined {
  const file = fileOf(folder, id);
  let content: Buffer;
  try {
    if (!file) return undefined;
    content = readFileSync(file);
  } catch {
    return undefined;
  }
  const whole = content.lastIndexOf(10) + 1;
  // Else the next line would be glued to the torn one.
  if (whole < content.length) truncateSync(file, whole);
  const messages = content.subarray(0, whole).toString('utf8').split('\n').flatMap(readMessage);
  const transcript = openTranscript(file, messages);
  const last = transcript.messages.at(-1);
  const repaired = repair(messages);
  messages.splice(0, messages.length, ...repaired);
  // The only place where this happens in use is the end; keep it there for good.
  const added = repaired.at(-1);
  if (added && added !== last && last?.role === 'assistant')
    transcript.write({ type: 'message', message: added });
  return transcript;
}

function openTranscript(file: string, messages: ModelMessage[]) {
  let waiting = Buffer.alloc(0);
  const settle = () => {
    if (waiting.length === 0) return;
    append(file, waiting);
    waiting = Buffer.alloc(0);
  };
  const write = (line: unknown) => {
    waiting = Buffer.concat([waiting, Buffer.from(`${JSON.stringify(line)}\n`)]);
    try {
      settle();
    } catch (error) {
      if (!(error instanceof DiskFullError)) throw error;
    }
  };
  return {
    messages,
    settle,
    write,
    append(message: ModelMessage) {
      write({ type: 'message', message });
      messages.push(message);
    },
  };
}

function readMessage(line: string): ModelMessage[] {
  try {
    const { type, message } = JSON.parse(line) as { type?: unknown; message?: ModelMessage };
    if (type !== 'message' || !message || !roles.has(message.role)) return [];
    return typeof message.content === 'string' || Array.isArray(message.content) ? [message] : [];
  } catch {
    return [];
  }
}

/** Puts a result behind every tool call that has none, and takes away results that answer no call. */
export function repair(messages: readonly ModelMessage[]): ModelMessage[] {
  const repaired: ModelMessage[] = [];
  let waiting = new Map<string, ToolCallPart>();
  const settle = () => {
    if (waiting.size > 0) repaired.push(interrupted([...waiting.values()]));
    waiting = new Map();
  };
  for (const message of messages) {
    if (message.role === 'tool') {
      const content = message.content.filter(
        (part) => part.type !== 'tool-result' || waiting.delete(part.toolCallId),
      );
      if (content.length > 0) repaired.push({ ...message, content });
      continue;
    }
    settle();
    repaired.push(message);
    for (const call of toolCallsOf(message)) waiting.set(call.toolCallId, call);
  }
  settle();
  return repaired;
}

/** The tool calls of a message that are ours to run. */
export function toolCallsOf(message: ModelMessage): ToolCallPart[] {
  if (message.role !== 'assistant' || typeof message.content === 'string') return [];
  return message.content.filter(
    (part) => part.type === 'tool-call' && !part.providerExecuted,
  ) as ToolCallPart[];
}

function interrupted(calls: ToolCallPart[]): ToolModelMessage {
  return {
    role: 'tool',
    content: calls.map(({ toolCallId, toolName }) => ({
      type: 'tool-result',
      toolCallId,
      toolName,
      output: { type: 'error-text', value: interruptedResult },
    })),
  };
}

const noRoom = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** All of it, or nothing: half a line would be glued to the next one. */
function append(file: string, bytes: Buffer): void {
  let fd: number | undefined;
  let before: number | undefined;
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    fd = openSync(file, 'a', 0o600);
    before = fstatSync(fd).size;
    for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written);
    fsyncSync(fd);
    if (before === 0) syncFolder(dirname(file));
  } catch (error) {
    if (fd !== undefined && before !== undefined) ftruncateSync(fd, before);
    if (!noRoom.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    throw new DiskFullError('The disk of the sandbox is full.', { cause: error });
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** A new file is there for good only when its folder is written as well. */
function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
