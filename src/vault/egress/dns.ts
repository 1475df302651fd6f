import { createHash } from 'node:crypto';

/** What a query asks, as far as it is answered here. */
export interface DnsQuestion {
  id: number;
  recursionDesired: boolean;
  /** Lower case, without its last dot. */
  name: string;
  type: number;
  class: number;
  /** The question as it was sent, to be repeated in the answer. */
  bytes: Buffer;
}

export type DnsReading =
  | { ok: true; question: DnsQuestion }
  /** No query at all (answered with nothing), or one that is answered with this code. */
  | { ok: false; id: number | undefined; code: number };

export const dnsType = { A: 1 } as const;
const internet = 1;
export const dnsCode = { none: 0, malformed: 1, failed: 2, noSuchName: 3, notImplemented: 4 } as const;
/** So short that a change of policy is soon seen. */
const ttlSeconds = 30;
const headerBytes = 12;

/** Reads a query with one question in plain labels. RFC 1035, section 4. */
export function readDnsQuery(message: Buffer): DnsReading {
  if (message.length < headerBytes) return { ok: false, id: undefined, code: dnsCode.malformed };
  const id = message.readUInt16BE(0);
  const flags = message.readUInt16BE(2);
  // An answer is not answered: two servers could go on for ever.
  if (flags & 0x8000) return { ok: false, id: undefined, code: dnsCode.malformed };
  const no = (code: number): DnsReading => ({ ok: false, id, code });
  if ((flags >> 11) & 0xf) return no(dnsCode.notImplemented);
  if (message.readUInt16BE(4) !== 1) return no(dnsCode.malformed);
  const labels: string[] = [];
  let at = headerBytes;
  for (;;) {
    const length = message[at];
    // Above 63 it would be a pointer, which a question has no use for.
    if (length === undefined || length > 63 || at - headerBytes > 253) return no(dnsCode.malformed);
    at += 1;
    if (length === 0) break;
    const label = message.subarray(at, at + length);
    if (label.length !== length || label.some((byte) => byte <= 0x20 || byte >= 0x7f || byte === 0x2e)) {
      return no(dnsCode.malformed);
    }
    labels.push(label.toString('latin1').toLowerCase());
    at += length;
  }
  if (message.length < at + 4) return no(dnsCode.malformed);
  return {
    ok: true,
    question: {
      id,
      recursionDesired: (flags & 0x0100) !== 0,
      name: labels.join('.'),
      type: message.readUInt16BE(at),
      class: message.readUInt16BE(at + 2),
      bytes: message.subarray(headerBytes, at + 4),
    },
  };
}

/** An answer without a question, for a query that could not be read. */
export function dnsFailure(id: number, code: number): Buffer {
  const out = Buffer.alloc(headerBytes);
  out.writeUInt16BE(id, 0);
  out.writeUInt16BE(0x8080 | code, 2);
  return out;
}

/**
 * The answer: an address when the name is known and one is asked for, nothing of other types, and that there is no such
 * name for every other.
 */
export function dnsAnswer(question: DnsQuestion, known: boolean): Buffer {
  const gives = known && question.type === dnsType.A && question.class === internet;
  const head = Buffer.alloc(headerBytes);
  head.writeUInt16BE(question.id, 0);
  const recursion = question.recursionDesired ? 0x0100 : 0;
  head.writeUInt16BE(0x8480 | recursion | (known ? dnsCode.none : dnsCode.noSuchName), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(gives ? 1 : 0, 6);
  if (!gives) return Buffer.concat([head, question.bytes]);
  const record = Buffer.alloc(16);
  record.writeUInt16BE(0xc000 | headerBytes, 0);
  record.writeUInt16BE(dnsType.A, 2);
  record.writeUInt16BE(internet, 4);
  record.writeUInt32BE(ttlSeconds, 6);
  record.writeUInt16BE(4, 10);
  record.set(placeholderAddress(question.name), 12);
  return Buffer.concat([head, question.bytes, record]);
}

/**
 * An address for a name, always the same, from the range for tests of network devices (198.18.0.0/15). It only leads
 * to our listeners: what a connection is for is decided by what it says, never by this address.
 */
export function placeholderAddress(name: string): readonly [number, number, number, number] {
  const hash = createHash('sha256').update(name).digest();
  const [a = 0, b = 0, c = 0] = hash;
  return [198, 18 + (a & 1), b, 1 + (c % 254)];
}
