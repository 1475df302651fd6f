import { randomBytes } from 'node:crypto';
import { Transform, type TransformCallback } from 'node:stream';
import type { Redaction } from './redaction.ts';

const opcodes = { continuation: 0, text: 1, binary: 2, close: 8 };
const maxControlBytes = 125;

/** What came is no WebSocket frame in the one proper way (RFC 6455, section 5). */
export class FrameError extends Error {
  override name = 'FrameError';
}

interface Head {
  final: boolean;
  opcode: number;
  left: number;
  mask: Buffer | undefined;
}

export interface FrameFilterOptions {
  /** What is looked for; what is found is replaced by as many `*`. */
  search: Redaction;
  /** Whether the frames are a client's, which are masked. */
  masked: boolean;
  /** Asked after each find; an error ends the stream in the place of the frame. */
  onFound?: () => Error | undefined;
}

/**
 * Reads WebSocket frames and writes them anew, with what `search` finds replaced: in text and binary messages, also
 * across frames, and in the payload of ping, pong and close. Nothing is collected: a message goes on in fragments as
 * it comes, which without extensions every receiver puts together (RFC 6455, section 5.4). Errors with a FrameError
 * on frames that are broken or use an extension.
 */
export class FrameFilter extends Transform {
  readonly #options: FrameFilterOptions;
  #held: Buffer = Buffer.alloc(0);
  #head: Head | undefined;
  /** How much of the frame's payload was read. */
  #read = 0;
  /** The data message that is going on, and the search through it. */
  #message: { opcode: number; begun: boolean; search: ReturnType<Redaction['stream']> } | undefined;

  constructor(options: FrameFilterOptions) {
    super();
    this.#options = options;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      this.#held = this.#held.byteLength > 0 ? Buffer.concat([this.#held, chunk]) : chunk;
      while (this.#step()) {
        const error = this.#options.search.hits > 0 ? this.#options.onFound?.() : undefined;
        if (error) throw error;
      }
      done();
    } catch (error) {
      done(error instanceof Error ? error : new FrameError('The frames could not be read.'));
    }
  }

  /** Takes a head, or some of a payload; false when more has to come first. */
  #step(): boolean {
    if (!this.#head) {
      this.#head = this.#takeHead();
      if (!this.#head) return false;
      this.#read = 0;
    }
    const head = this.#head;
    const isControl = head.opcode >= opcodes.close;
    // A control frame is taken whole; of others whatever is there.
    if (isControl ? this.#held.byteLength < head.left : this.#held.byteLength === 0 && head.left > 0) {
      return false;
    }
    const raw = this.#held.subarray(0, head.left);
    this.#held = this.#held.subarray(raw.byteLength);
    const payload = head.mask ? applyMask(raw, head.mask, this.#read) : raw;
    this.#read += raw.byteLength;
    head.left -= raw.byteLength;
    const isLast = head.left === 0;
    if (isLast) this.#head = undefined;
    if (isControl) this.#write(true, head.opcode, this.#clean(payload));
    else this.#data(head, payload, isLast);
    return true;
  }

  #data(head: Head, payload: Buffer, isLast: boolean): void {
    const message = this.#message;
    if (!message) return;
    const clean = message.search.push(payload);
    const isEnd = isLast && head.final;
    const out = isEnd ? Buffer.concat([clean, message.search.rest()]) : clean;
    if (isEnd) this.#message = undefined;
    if (!isEnd && out.byteLength === 0) return;
    this.#write(isEnd, message.begun ? opcodes.continuation : message.opcode, out);
    message.begun = true;
  }

  #clean(payload: Buffer): Buffer {
    const text = payload.toString('latin1');
    return Buffer.from(this.#options.search.text(text), 'latin1');
  }

  #takeHead(): Head | undefined {
    const bytes = this.#held;
    if (bytes.byteLength < 2) return undefined;
    const [first = 0, second = 0] = bytes;
    const short = second & 0x7f;
    const lengthBytes = short === 127 ? 8 : short === 126 ? 2 : 0;
    const masked = (second & 0x80) !== 0;
    const size = 2 + lengthBytes + (masked ? 4 : 0);
    const opcode = first & 0x0f;
    const final = (first & 0x80) !== 0;
    if ((first & 0x70) !== 0) throw new FrameError('A frame uses an extension that was not agreed on.');
    if (masked !== this.#options.masked)
      throw new FrameError('A frame is masked, or not, as it must not be.');
    if (opcode > 10 || (opcode > 2 && opcode < 8)) throw new FrameError('A frame is of an unknown kind.');
    if (opcode >= opcodes.close && (!final || short > maxControlBytes)) {
      throw new FrameError('A control frame is too large or in pieces.');
    }
    if (opcode < opcodes.close && (opcode === opcodes.continuation) !== (this.#message !== undefined)) {
      throw new FrameError('A frame continues nothing, or another message begins too early.');
    }
    if (bytes.byteLength < size) return undefined;
    const left =
      lengthBytes === 0
        ? short
        : lengthBytes === 2
          ? bytes.readUInt16BE(2)
          : Number(bytes.readBigUInt64BE(2));
    if (
      !Number.isSafeInteger(left) ||
      (lengthBytes === 2 && left < 126) ||
      (lengthBytes === 8 && left < 65_536)
    ) {
      throw new FrameError('The length of a frame is not written properly.');
    }
    if (opcode === opcodes.text || opcode === opcodes.binary) {
      this.#message = { opcode, begun: false, search: this.#options.search.stream() };
    }
    this.#held = bytes.subarray(size);
    return { final, opcode, left, mask: masked ? Buffer.from(bytes.subarray(size - 4, size)) : undefined };
  }

  #write(final: boolean, opcode: number, payload: Buffer): void {
    const length = payload.byteLength;
    const lengthBytes = length > 65_535 ? 8 : length > 125 ? 2 : 0;
    const { masked } = this.#options;
    const head = Buffer.alloc(2 + lengthBytes);
    head[0] = (final ? 0x80 : 0) | opcode;
    head[1] = (masked ? 0x80 : 0) | (lengthBytes === 8 ? 127 : lengthBytes === 2 ? 126 : length);
    if (lengthBytes === 2) head.writeUInt16BE(length, 2);
    if (lengthBytes === 8) head.writeBigUInt64BE(BigInt(length), 2);
    const mask = masked ? randomBytes(4) : undefined;
    this.push(Buffer.concat(mask ? [head, mask, applyMask(payload, mask, 0)] : [head, payload]));
  }
}

/** Masking and unmasking are the same (RFC 6455, section 5.3). `from`: how far into the payload the bytes begin. */
function applyMask(bytes: Buffer, mask: Buffer, from: number): Buffer {
  const out = Buffer.allocUnsafe(bytes.byteLength);
  for (let i = 0; i < bytes.byteLength; i++) out[i] = (bytes[i] ?? 0) ^ (mask[(from + i) % 4] ?? 0);
  return out;
}
