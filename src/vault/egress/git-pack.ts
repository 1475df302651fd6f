import { inflate, inflateSync } from 'node:zlib';

/** The head of one object in a pack. */
export interface PackObject {
  /** A delta's data are instructions; everything else is the object itself. */
  isDelta: boolean;
  /** Of the data, inflated. */
  size: number;
  /** Where its compressed data begin. */
  dataAt: number;
}

export type Read<T> = { state: 'more' } | { state: 'malformed' } | ({ state: 'done' } & T);

const deltaByOffset = 6;
const deltaByName = 7;
/** Commit, tree, blob, tag, and the two kinds of delta. */
const knownTypes = new Set([1, 2, 3, 4, deltaByOffset, deltaByName]);
/** A longer number is a size that no object has. */
const maxVarintBytes = 8;

/** Reads `PACK`, the version and the number of objects (gitformat-pack). */
export function readPackHead(bytes: Buffer): Read<{ objects: number; end: number }> {
  if (bytes.length < 12) return { state: 'more' };
  const version = bytes.readUInt32BE(4);
  if (bytes.toString('latin1', 0, 4) !== 'PACK' || (version !== 2 && version !== 3)) {
    return { state: 'malformed' };
  }
  return { state: 'done', objects: bytes.readUInt32BE(8), end: 12 };
}

/** Reads an object's type and size, and what a delta says of its base. */
export function readPackObject(bytes: Buffer, at: number, hashBytes: number): Read<PackObject> {
  const first = bytes[at];
  if (first === undefined) return { state: 'more' };
  const type = (first >> 4) & 7;
  if (!knownTypes.has(type)) return { state: 'malformed' };
  let size = first & 15;
  let next = at + 1;
  for (let byte = first, scale = 16; byte & 0x80; scale *= 128) {
    const more = bytes[next];
    if (more === undefined) return { state: 'more' };
    if (next - at > maxVarintBytes) return { state: 'malformed' };
    size += (more & 0x7f) * scale;
    byte = more;
    next += 1;
  }
  if (type === deltaByName) next += hashBytes;
  if (type === deltaByOffset) {
    const start = next;
    for (let byte = 0x80; byte & 0x80; next += 1) {
      const more = bytes[next];
      if (more === undefined) return { state: 'more' };
      if (next - start > maxVarintBytes) return { state: 'malformed' };
      byte = more;
    }
  }
  if (next > bytes.length) return { state: 'more' };
  return { state: 'done', isDelta: type === deltaByOffset || type === deltaByName, size, dataAt: next };
}

/** Up to this size an object is inflated at once; a larger one in a thread of its own. */
const atOnceBytes = 256 * 1024;

/** Inflates one object's data off the front of `bytes`; `end` is how much of them it was. */
export async function inflateObject(
  bytes: Buffer,
  size: number,
): Promise<Read<{ data: Buffer; end: number }>> {
  const options = {
    info: true,
    maxOutputLength: Math.max(1, size),
    chunkSize: Math.min(Math.max(64, size + 1), atOnceBytes),
  };
  let result: unknown;
  try {
    result =
      size <= atOnceBytes
        ? inflateSync(bytes, options)
        : await new Promise((resolve, reject) => {
            inflate(bytes, options, (error, inflated) => (error ? reject(error) : resolve(inflated)));
          });
  } catch (error) {
    const isShort = (error as NodeJS.ErrnoException).code === 'Z_BUF_ERROR';
    return { state: isShort ? 'more' : 'malformed' };
  }
  // With `info` zlib answers this instead of a buffer; its types do not know.
  const { buffer, engine } = result as { buffer: Buffer; engine: { bytesWritten: number } };
  if (buffer.length !== size) return { state: 'malformed' };
  return { state: 'done', data: buffer, end: engine.bytesWritten };
}

/** As many compressed bytes as data of this size usually have at most (zlib's `deflateBound`). */
export function deflatedBound(size: number): number {
  return size + Math.floor(size / 1_000) + 64;
}

/**
 * What a delta adds: the bytes that it inserts, those that follow each other joined, and a NUL where it copies from its
 * base. Git inserts at most 127 bytes at once, so that a longer text is in pieces. Undefined when it is no delta.
 */
export function insertedByDelta(delta: Buffer): Buffer | undefined {
  let at = 0;
  for (let sizes = 0; sizes < 2; sizes++) {
    const start = at;
    while ((delta[at] ?? 0) & 0x80) at += 1;
    at += 1;
    if (at > delta.length || at - start > 10) return undefined;
  }
  const parts: Buffer[] = [];
  const gap = Buffer.alloc(1);
  while (at < delta.length) {
    const instruction = delta[at] ?? 0;
    at += 1;
    if (instruction & 0x80) {
      // One more byte for each of the seven bits that say which bytes of offset and size there are.
      for (let bits = instruction & 0x7f; bits > 0; bits >>= 1) at += bits & 1;
      parts.push(gap);
    } else if (instruction === 0) {
      return undefined;
    } else {
      parts.push(delta.subarray(at, at + instruction));
      at += instruction;
    }
  }
  return at === delta.length ? Buffer.concat(parts) : undefined;
}
