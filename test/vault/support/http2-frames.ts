import type { TLSSocket } from 'node:tls';

export const type = {
  ...{ data: 0, headers: 1, priority: 2, reset: 3, settings: 4, push: 5, ping: 6, goaway: 7 },
  ...{ windowUpdate: 8, continuation: 9 },
};
export const flag = { ack: 1, endStream: 1, endHeaders: 4, padded: 8, priority: 32 };
export const code = {
  ...{ none: 0, protocol: 1, internal: 2, flow: 3, closed: 5, size: 6, refused: 7, cancel: 8 },
  ...{ compression: 9, calm: 11 },
};
export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** One frame, right or wrong (RFC 9113, section 4.1). */
export function frame(kind: number, flags: number, stream: number, payload: Buffer | number[] = []): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.byteLength, 0, 3);
  head.writeUInt8(kind, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Settings as pairs of id and value. */
export function settings(...pairs: [number, number][]): Buffer {
  const parts = pairs.map(([id, value]) => Buffer.concat([Buffer.from([id >> 8, id & 255]), uint32(value)]));
  return frame(type.settings, 0, 0, Buffer.concat(parts));
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  if (bytes.byteLength < 127) return Buffer.concat([Buffer.from([bytes.byteLength]), bytes]);
  const digits: number[] = [127];
  let left = bytes.byteLength - 127;
  for (; left >= 128; left = Math.floor(left / 128)) digits.push((left % 128) + 128);
  return Buffer.concat([Buffer.from([...digits, left]), bytes]);
}

/** Fields as literals without indexing and without Huffman coding (RFC 7541, section 6.2.2). */
export function fields(...pairs: [string, string][]): Buffer {
  return Buffer.concat(pairs.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

/** One literal that goes into the dynamic table, as its entry 62. */
export function indexed(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0x40]), text(name), text(value)]);
}

export function request(host: string, more: [string, string][] = [], path = '/'): [string, string][] {
  return [[':method', 'GET'], [':scheme', 'https'], [':authority', host], [':path', path], ...more];
}

export interface Outcome {
  /** The code of a GOAWAY other than a polite one. */
  goaway: number | undefined;
  resets: Map<number, number>;
  /** Streams with an answer, and those whose answer has ended. */
  answered: Set<number>;
  ended: Set<number>;
  pings: string[];
  acknowledged: number;
  closed: boolean;
  text: string;
}

/** Reads what the server says, frame by frame. `until` is asked after each; resolves at the latest at the end. */
export function readFrames(secure: TLSSocket, until: (outcome: Outcome) => boolean): Promise<Outcome> {
  const outcome: Outcome = {
    ...{ goaway: undefined, resets: new Map(), answered: new Set(), ended: new Set(), pings: [] },
    ...{ acknowledged: 0, closed: false, text: '' },
  };
  return new Promise((resolve) => {
    let held = Buffer.alloc(0);
    const over = () => {
      outcome.closed = true;
      resolve(outcome);
    };
    secure.on('close', over);
    secure.on('end', over);
    secure.on('error', over);
    secure.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk]);
      while (held.byteLength >= 9 && held.byteLength >= 9 + held.readUIntBE(0, 3)) {
        const end = 9 + held.readUIntBE(0, 3);
        note(outcome, held.readUInt8(3), held.readUInt8(4), held.readUInt32BE(5), held.subarray(9, end));
        held = held.subarray(end);
      }
      if (until(outcome)) resolve(outcome);
    });
  });
}

function note(outcome: Outcome, kind: number, flags: number, stream: number, payload: Buffer): void {
  if (kind === type.goaway && payload.readUInt32BE(4) !== code.none) outcome.goaway = payload.readUInt32BE(4);
  if (kind === type.reset) outcome.resets.set(stream, payload.readUInt32BE(0));
  if (kind === type.headers) outcome.answered.add(stream);
  if (kind === type.data) outcome.text += payload.toString('latin1');
  if (kind === type.ping && flags & flag.ack) outcome.pings.push(payload.toString('latin1'));
  if (kind === type.settings && flags & flag.ack) outcome.acknowledged += 1;
  if ((kind === type.headers || kind === type.data) && flags & flag.endStream) outcome.ended.add(stream);
}
