import type { Readable, Writable } from 'node:stream';
import type { AnyMessage, Stream } from '@agentclientprotocol/sdk';
import { createLineSplitter } from './lines.ts';
import { AgentError } from './program.ts';
import { createRateMeter, type RateBound } from './rate.ts';

export interface WireBounds {
  maxLineBytes: number;
  messages: RateBound;
  bytes: RateBound;
  /** Lines that are no message: some programs print a banner. More than these is no ACP. */
  maxForeignLines: number;
}

export const wireBounds: WireBounds = {
  maxLineBytes: 8 * 1024 * 1024,
  // The burst leaves room for a long conversation that is replayed when it is loaded.
  messages: { perSecond: 5_000, burst: 50_000 },
  bytes: { perSecond: 16 * 1024 * 1024, burst: 256 * 1024 * 1024 },
  maxForeignLines: 20,
};

export interface WireInput {
  stdin: Writable;
  stdout: Readable;
  /** Called in the order of arrival, before anything that came later. */
  onUpdate(params: unknown): void;
  /** Called once, when nothing can follow any more. */
  onEnd(error: AgentError): void;
  bounds?: WireBounds;
  now?: () => number;
}

/**
 * The stream that the ACP library reads and writes, over the pipes of a program that is not trusted: lines and rates are
 * bounded, what is no message is dropped, answers to questions that we did not ask too. `session/update` does not go
 * through the library: it starts a handler some ticks after it has read, and so may settle a turn before its last update.
 */
export function openWire(input: WireInput): Stream {
  const bounds = input.bounds ?? wireBounds;
  const asked = new Set<unknown>();
  let ended = false;
  const end = (error: AgentError) => {
    if (ended) return;
    ended = true;
    input.onEnd(error);
  };
  input.stdin.on('error', () => end(new AgentError('died', 'The agent program does not read any more.')));

  async function* messages(): AsyncGenerator<AnyMessage> {
    const splitter = createLineSplitter(bounds.maxLineBytes);
    const now = input.now ?? Date.now;
    const mayMessage = createRateMeter(bounds.messages, now);
    const mayByte = createRateMeter(bounds.bytes, now);
    let foreign = 0;
    for await (const chunk of input.stdout as AsyncIterable<Buffer>) {
      const lines = splitter.push(chunk);
      if (lines === 'too_long') {
        throw flood(`a line of more than ${bounds.maxLineBytes / 1024 / 1024} MiB`);
      }
      if (!mayByte(chunk.length)) throw flood('too much at once');
      for (const line of lines) {
        if (!mayMessage(1)) throw flood('too many messages at once');
        const message = parse(line);
        if (message === 'blank') continue;
        if (message === undefined) {
          foreign += 1;
          if (foreign > bounds.maxForeignLines) {
            throw new AgentError('protocol', 'The agent program does not speak ACP on its standard output.');
          }
        } else if ('method' in message) {
          if (message.method === 'session/update' && !('id' in message)) input.onUpdate(message.params);
          else yield message as unknown as AnyMessage;
        } else if (asked.delete(message.id)) {
          yield message as unknown as AnyMessage;
        }
      }
    }
    throw new AgentError('died', 'The agent program ended.');
  }

  const iterator = messages();
  const readable = new ReadableStream<AnyMessage>({
    async pull(controller) {
      try {
        const next = await iterator.next();
        if (!next.done) controller.enqueue(next.value);
      } catch (error) {
        end(
          error instanceof AgentError
            ? error
            : new AgentError('died', 'The agent program ended.', { cause: error }),
        );
        controller.close();
      }
    },
  });
  const writable = new WritableStream<AnyMessage>({
    write(message) {
      if ('method' in message && 'id' in message) asked.add(message.id);
      if (ended || !input.stdin.writable) return;
      const line = `${JSON.stringify(message)}\n`;
      return new Promise<void>((resolve) => {
        if (input.stdin.write(line)) return resolve();
        input.stdin.once('drain', resolve);
        input.stdin.once('close', resolve);
      });
    },
  });
  return { readable, writable };
}

const flood = (what: string) => new AgentError('flood', `The agent program sent ${what}; it was cut off.`);

type Incoming = Record<string, unknown>;

function parse(line: Buffer): Incoming | 'blank' | undefined {
  const text = line.toString('utf8').trim();
  if (text === '') return 'blank';
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    const message = value as Incoming;
    return 'method' in message ? call(message) : answer(message);
  } catch {
    return undefined;
  }
}

const isId = (id: unknown) => typeof id === 'string' || typeof id === 'number' || id === null;

function call(message: Incoming): Incoming | undefined {
  if (typeof message.method !== 'string') return undefined;
  return !('id' in message) || isId(message.id) ? message : undefined;
}

function answer(message: Incoming): Incoming | undefined {
  return isId(message.id) && ('result' in message || 'error' in message) ? message : undefined;
}
