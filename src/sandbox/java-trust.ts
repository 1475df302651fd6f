import { createHash } from 'node:crypto';

const magic = 0xfeedfeed;
const version = 2;
const trustedCertificate = 2;

/**
 * Certificates as a Java key store (JKS), which is the one form of trust that Java reads. Its digest is over a fixed
 * phrase and an empty password, and is looked at only by who gives a password: nothing in it is secret.
 */
export function javaTrustStore(pems: readonly string[]): Buffer {
  const parts: Buffer[] = [number(magic), number(version), number(pems.length)];
  for (const [i, pem] of pems.entries()) {
    const der = Buffer.from(pem.replace(/-----[^-]+-----|\s+/g, ''), 'base64');
    parts.push(
      number(trustedCertificate),
      text(`ca${i}`),
      Buffer.alloc(8),
      text('X.509'),
      number(der.length),
      der,
    );
  }
  const body = Buffer.concat(parts);
  const digest = createHash('sha1').update('Mighty Aphrodite').update(body).digest();
  return Buffer.concat([body, digest]);
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
