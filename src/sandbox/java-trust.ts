import { createHash } from 'node:crypto';

const magic = 0xfeedfeed;
const version = 2;
const trustedCertificate = 2;

/**
 * Trusted certificates as a Java key store (JKS), which is the one form of trust that Java reads. Its digest is over a fixed
 * phrase and an empty password, and is looked at only by who gives a password: nothing in it is secret.
 */
export function javaTrustStore(entries: readonly Buffer[]): Buffer {
  const body = Buffer.concat([number(magic), number(version), number(entries.length), ...entries]);
  const digest = createHash('sha1').update('Mighty Aphrodite').update(body).digest();
  return Buffer.concat([body, digest]);
}

/** One certificate of a store, under a name that no other has there. */
export function javaTrustEntry(name: string, pem: string): Buffer {
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\s+/g, ''), 'base64');
  return Buffer.concat([
    number(trustedCertificate),
    text(name),
    Buffer.alloc(8),
    text('X.509'),
    number(der.length),
    der,
  ]);
}

function number(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
}

/** Java's modified UTF-8, for ASCII the same. */
function text(value: string): Buffer {
  const out = Buffer.alloc(2 + value.length, value.padStart(value.length + 2));
  out.writeUInt16BE(value.length);
  return out;
}
