/** The first message of a TLS client, as far as it is needed to know whom it wants. */
export type ClientHello =
  /** There is more to come. */
  { kind: 'more' } | { kind: 'no'; reason: string } | { kind: 'hello'; serverName: string };

/** Longer ones exist in theory; those of today's clients, with post-quantum keys, have 2,000 bytes. */
export const maxHelloBytes = 32 * 1024;

const no = (reason: string): ClientHello => ({ kind: 'no', reason });
const recordHandshake = 22;
const messageClientHello = 1;
const extensionServerName = 0;
const extensionEncryptedHello = 0xfe0d;

/** Reads what is there byte by byte; every read past the end throws. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  get left(): number {
    return this.#bytes.byteLength - this.#at;
  }
  number(bytes: 1 | 2 | 3): number {
    const value = this.#bytes.readUIntBE(this.#at, bytes);
    this.#at += bytes;
    return value;
  }
  take(bytes: number): Buffer {
    if (bytes > this.left) throw new RangeError('past the end');
    this.#at += bytes;
    return this.#bytes.subarray(this.#at - bytes, this.#at);
  }
  /** A field that says its own length first. */
  vector(lengthBytes: 1 | 2 | 3): Reader {
    return new Reader(this.take(this.number(lengthBytes)));
  }
  text(): string {
    return this.take(this.left).toString('latin1');
  }
}

/**
 * Reads a ClientHello (RFC 8446, section 4.1.2) from the first bytes of a connection, in however many records it
 * comes. Refuses one that is broken in any way, that names no host, or that hides the host it means (Encrypted Client
 * Hello, and what some clients send in its place).
 */
export function readClientHello(bytes: Buffer): ClientHello {
  const parts: Buffer[] = [];
  let length = 0;
  for (let at = 0; ; ) {
    const message = Buffer.concat(parts);
    if (message.byteLength >= 4) {
      length = message.readUIntBE(1, 3);
      if (message[0] !== messageClientHello || length > maxHelloBytes) return no('it is no client hello');
      if (message.byteLength > length + 4) return no('something follows in the same record');
      if (message.byteLength === length + 4) return readHello(message.subarray(4));
    }
    const type = bytes[at];
    if (type !== undefined && type !== recordHandshake) return no('it is no TLS');
    if (at >= maxHelloBytes) return no('it is too long');
    if (bytes.byteLength < at + 5) return { kind: 'more' };
    const size = bytes.readUInt16BE(at + 3);
    if (bytes[at + 1] !== 3 || size === 0 || size > 16_384) return no('it is no TLS');
    if (bytes.byteLength < at + 5 + size) {
      return at + 5 + size > maxHelloBytes ? no('it is too long') : { kind: 'more' };
    }
    parts.push(bytes.subarray(at + 5, at + 5 + size));
    at += 5 + size;
  }
}

function readHello(body: Buffer): ClientHello {
  try {
    const hello = new Reader(body);
    hello.take(2 + 32);
    hello.vector(1);
    hello.vector(2);
    hello.vector(1);
    const extensions = hello.vector(2);
    if (hello.left > 0) return no('it holds more than it says');
    const seen = new Set<number>();
    let serverName: string | undefined;
    while (extensions.left > 0) {
      const type = extensions.number(2);
      const data = extensions.vector(2);
      if (seen.has(type)) return no('it says something twice');
      seen.add(type);
      if (type === extensionEncryptedHello) return no('it encrypts the name that it means');
      if (type === extensionServerName) {
        const names = data.vector(2);
        if (names.number(1) !== 0) return no('the name is no host name');
        serverName = names.vector(2).text();
        if (names.left > 0 || data.left > 0) return no('it names several hosts');
      }
    }
    return serverName ? { kind: 'hello', serverName } : no('it names no host');
  } catch {
    return no('it is cut short');
  }
}
