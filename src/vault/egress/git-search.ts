import { Transform } from 'node:stream';
import { setImmediate as breathe } from 'node:timers/promises';
import { type BodyBudget, noRoom } from './bodies.ts';
import { wasHeld } from './garbage.ts';
import { deflatedBound, inflateObject, insertedByDelta, readPackHead, readPackObject } from './git-pack.ts';
import type { Redaction } from './redaction.ts';
import { type Refusal, RefusedError, refuse } from './refusal.ts';

/** GitHub takes no larger file (docs.github.com, "About large files on GitHub"). */
const maxObjectBytes = 100 * 1024 * 1024;
/** Searched in one go; in between, others get their turn. */
const sliceBytes = 256 * 1024;

export interface PushSearch {
  /** Finds what must not go out; of its own count. */
  search: Redaction;
  budget: BodyBudget;
  /** What stands before the pack, and was judged already. */
  commandBytes: number;
  /** Of an object's name: 20, or 32 with SHA-256. */
  hashBytes: number;
}

const secretRefusal = refuse(
  'secret.outbound',
  'What this push adds holds a secret, in a file, a name or a message. Take it out of the commits themselves (git rebase, or git commit --amend), not only of the last version, and push again.',
);

/** Whether names of a push hold a secret; says no where they do. */
export function searchNames(search: Redaction, names: readonly string[]): Refusal | undefined {
  if (search.active) search.text(names.join('\n'));
  return search.hits > 0 ? secretRefusal : undefined;
}

/**
 * Passes a push on, object by object, each once it was inflated and searched: what holds a secret never leaves, and
 * what went before it is dropped by a server that does not get the whole pack. What cannot be read is not passed on.
 */
export function searchedPush(options: PushSearch): Transform {
  const reader = new PackReader(options);
  const run = (work: Promise<Buffer[]>, to: Transform, done: (error?: Error) => void) => {
    work.then(
      (parts) => {
        for (const part of parts) to.push(part);
        done();
      },
      (error: Error) => done(error),
    );
  };
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      run(reader.add(chunk), this, done);
    },
    flush(done) {
      run(reader.end(), this, done);
    },
    destroy(error, done) {
      reader.close();
      done(error);
    },
  });
}

class PackReader {
  readonly #options: PushSearch;
  #chunks: Buffer[] = [];
  #held = 0;
  /** Nothing is tried before so many bytes are there. */
  #wanted: number;
  #left: 'commands' | 'pack' | number = 'commands';
  #heldBytes = 0;
  #ended = false;

  constructor(options: PushSearch) {
    this.#options = options;
    this.#wanted = options.commandBytes;
  }

  /** What may be passed on now that this has come. Rejects with a RefusedError. */
  async add(chunk: Buffer): Promise<Buffer[]> {
    if (!this.#options.budget.take(chunk.length)) throw noRoom();
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    return this.#held >= this.#wanted ? this.#read() : [];
  }

  /** Gives back what is still held, when the push ends before its time. */
  close(): void {
    this.#options.budget.release(this.#held);
    this.#chunks = [];
    this.#held = 0;
  }

  async end(): Promise<Buffer[]> {
    this.#ended = true;
    const passed = await this.#read();
    // A push that only deletes has no pack.
    if (this.#held === 0 && (this.#left === 'pack' || this.#left === 0)) return passed;
    throw unreadable();
  }

  async #read(): Promise<Buffer[]> {
    const bytes =
      this.#chunks.length === 1 ? (this.#chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#chunks);
    let at = 0;
    for (let step = await this.#step(bytes); step > at; step = await this.#step(bytes, at)) at = step;
    const rest = bytes.subarray(at);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#options.budget.release(this.#held - rest.length);
    this.#held = rest.length;
    return at > 0 ? [bytes.subarray(0, at)] : [];
  }

  /** Reads the next part; where it ends, or `at` when more has to come. */
  async #step(bytes: Buffer, at = 0): Promise<number> {
    const { commandBytes, hashBytes } = this.#options;
    if (this.#left === 'commands') {
      if (bytes.length < commandBytes) return at;
      this.#left = 'pack';
      this.#wanted = 1;
      return commandBytes;
    }
    if (this.#left === 'pack') {
      const head = readPackHead(bytes.subarray(at));
      if (head.state === 'malformed') throw unreadable();
      if (head.state === 'more') return at;
      this.#left = head.objects;
      return at + head.end;
    }
    if (this.#left > 0) return this.#object(bytes, at);
    // The pack's own checksum, and nothing after it.
    const rest = bytes.length - at;
    if (rest > hashBytes) throw unreadable();
    this.#wanted = hashBytes + 1;
    return this.#ended && rest === hashBytes ? bytes.length : at;
  }

  async #object(bytes: Buffer, at: number): Promise<number> {
    const { budget, hashBytes } = this.#options;
    // Of the object before: not before all that held it has ended.
    wasHeld(this.#heldBytes);
    this.#heldBytes = 0;
    const head = readPackObject(bytes, at, hashBytes);
    if (head.state === 'malformed') throw unreadable();
    if (head.state === 'more') return this.#wait(at, 64);
    const { size, dataAt, isDelta } = head;
    if (size > maxObjectBytes) {
      throw new RefusedError({
        ...refuse('body.too_large', `A file in a push may have at most ${maxObjectBytes} bytes.`, 413),
        close: true,
      });
    }
    const likely = deflatedBound(size);
    if (bytes.length - dataAt < likely && !this.#ended) return this.#wait(at, likely + dataAt - at);
    if (!budget.take(size)) throw noRoom();
    try {
      const read = await inflateObject(bytes.subarray(dataAt), size);
      // Compressed worse than usual: no more than twice as much is waited for each time, and not without end.
      if (read.state === 'more' && bytes.length - at < 4 * (likely + maxObjectBytes)) {
        return this.#wait(at, 2 * (bytes.length - at));
      }
      if (read.state !== 'done') throw unreadable();
      const added = isDelta ? insertedByDelta(read.data) : read.data;
      if (!added) throw unreadable();
      await this.#search(added);
      if (typeof this.#left === 'number') this.#left -= 1;
      this.#wanted = 1;
      return dataAt + read.end;
    } finally {
      budget.release(size);
      this.#heldBytes = size;
    }
  }

  #wait(at: number, wanted: number): number {
    if (this.#ended) throw unreadable();
    this.#wanted = wanted;
    return at;
  }

  async #search(data: Buffer): Promise<void> {
    const { search } = this.#options;
    if (data.length <= sliceBytes) {
      search.text(data.toString('latin1'));
    } else {
      const stream = search.stream();
      for (let at = 0; at < data.length && search.hits === 0; at += sliceBytes) {
        stream.push(data.subarray(at, at + sliceBytes));
        await breathe();
      }
    }
    if (search.hits > 0) throw new RefusedError({ ...secretRefusal, close: true });
  }
}

function unreadable(): RefusedError {
  return new RefusedError({
    ...refuse(
      'github.git',
      'This push is refused: what follows its commands is no pack that can be read.',
      400,
    ),
    close: true,
  });
}
