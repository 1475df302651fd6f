import './metadata-polyfill.ts';

import { hkdfSync, randomBytes } from 'node:crypto';
import { createSecureContext, DEFAULT_CIPHERS, type SecureContext } from 'node:tls';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { keepNewest } from '../keep-newest.ts';

const curve = { name: 'ECDSA', namedCurve: 'P-256' };
const signing = { name: 'ECDSA', hash: 'SHA-256' };
/**
 * What is agreed on between a sandbox and us crosses no wire (where it does, TLS is around it), so that there is nothing
 * to keep for a quantum computer: the hybrid group that OpenSSL prefers costs each handshake an eighth more.
 */
const groups = 'X25519:prime256v1:secp384r1:secp521r1';
/** Node's own, but for the first: what goes with SHA-256 costs a handshake a tenth less than what goes with SHA-384. */
const quickest = 'TLS_AES_128_GCM_SHA256';
const ciphers = [quickest, ...DEFAULT_CIPHERS.split(':').filter((name) => name !== quickest)].join(':');
const hourMs = 3_600_000;
const authorityLifeMs = 90 * 24 * hourMs;
const leafLifeMs = 7 * 24 * hourMs;
const maxLeaves = 256;
/** A leaf that is this near its end is made anew. */
const renewBeforeMs = 24 * hourMs;

interface Leaf {
  context: Promise<SecureContext>;
  until: number;
}

function newKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(curve, true, ['sign', 'verify']);
}

/** What all leaves of a session have in common. */
interface LeafParts {
  publicKey: CryptoKey;
  keyPem: string;
  extensions: Extension[];
}

/** Base64 in one line. */
async function pkcs8(key: CryptoKey): Promise<string> {
  return Buffer.from(await crypto.subtle.exportKey('pkcs8', key)).toString('base64');
}

/** At least 64 random bits and positive, as RFC 5280 wants it. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

/**
 * The certificate authority of one session: its key exists in memory only, and no other session's client trusts it.
 * Gives the TLS context for a host, from a bounded store.
 */
export class SessionAuthority {
  readonly certificatePem: string;
  readonly #certificate: X509Certificate;
  readonly #privateKey: CryptoKey;
  readonly #now: () => number;
  readonly #leaves = new Map<string, Leaf>();
  #leafParts: Promise<LeafParts> | undefined;

  private constructor(certificate: X509Certificate, privateKey: CryptoKey, now: () => number) {
    this.#certificate = certificate;
    this.certificatePem = certificate.toString('pem');
    this.#privateKey = privateKey;
    this.#now = now;
  }

  /** Makes a new one. Valid from an hour ago, for clients whose clock is behind. */
  static async create(now: () => number = Date.now): Promise<SessionAuthority> {
    const keys = await newKeys();
    const certificate = await X509CertificateGenerator.createSelfSigned({
      serialNumber: newSerial(),
      name: 'CN=Tagalong session',
      notBefore: new Date(now() - hourMs),
      notAfter: new Date(now() + authorityLifeMs),
      signingAlgorithm: signing,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    const authority = new SessionAuthority(certificate, keys.privateKey, now);
    // The first request is not to wait for them.
    authority.#leafParts = authority.#makeLeafParts();
    await authority.#leafParts;
    return authority;
  }

  /** Brings one back that `export` gave. Throws when it is something else. */
  static async import(exported: string, now: () => number = Date.now): Promise<SessionAuthority> {
    const { certificate, key } = JSON.parse(exported) as { certificate: string; key: string };
    const privateKey = await crypto.subtle.importKey('pkcs8', Buffer.from(key, 'base64'), curve, true, [
      'sign',
    ]);
    return new SessionAuthority(new X509Certificate(certificate), privateKey, now);
  }

  /** Certificate and private key. To be sealed at once. */
  async export(): Promise<string> {
    const key = await pkcs8(this.#privateKey);
    return JSON.stringify({ certificate: this.certificatePem, key });
  }

  /** 256 bits that follow from this authority's private key and from nothing else; others for another purpose. */
  async deriveSecret(purpose: string): Promise<Buffer> {
    const key = await crypto.subtle.exportKey('pkcs8', this.#privateKey);
    return Buffer.from(hkdfSync('sha256', Buffer.from(key), 'tagalong', purpose, 32));
  }

  /** The TLS context with a certificate for this host and no other. `host` is canonical. */
  contextFor(host: string): Promise<SecureContext> {
    const known = this.#leaves.get(host);
    const leaf =
      known && known.until > this.#now()
        ? known
        : { context: this.#issue(host), until: this.#now() + leafLifeMs - renewBeforeMs };
    keepNewest(this.#leaves, host, leaf, maxLeaves);
    leaf.context.catch(() => this.#leaves.delete(host));
    return leaf.context;
  }

  async #issue(host: string): Promise<SecureContext> {
    this.#leafParts ??= this.#makeLeafParts();
    const parts = await this.#leafParts;
    const end = Math.min(this.#now() + leafLifeMs, this.#certificate.notAfter.getTime());
    const certificate = await X509CertificateGenerator.create({
      serialNumber: newSerial(),
      // A common name holds 64 characters at most; the name that counts is the alternative one.
      subject: host.length <= 64 ? `CN=${host}` : 'CN=Tagalong session host',
      issuer: this.#certificate.subject,
      notBefore: new Date(Math.max(this.#now() - hourMs, this.#certificate.notBefore.getTime())),
      notAfter: new Date(end),
      signingAlgorithm: signing,
      publicKey: parts.publicKey,
      signingKey: this.#privateKey,
      extensions: [...parts.extensions, new SubjectAlternativeNameExtension([{ type: 'dns', value: host }])],
    });
    return createSecureContext({
      key: parts.keyPem,
      cert: certificate.toString('pem'),
      minVersion: 'TLSv1.2',
      ecdhCurve: groups,
      ciphers,
      honorCipherOrder: true,
    });
  }

  async #makeLeafParts(): Promise<LeafParts> {
    const { publicKey, privateKey } = await newKeys();
    return {
      publicKey,
      keyPem: `-----BEGIN PRIVATE KEY-----\n${await pkcs8(privateKey)}\n-----END PRIVATE KEY-----\n`,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
        await SubjectKeyIdentifierExtension.create(publicKey),
        await AuthorityKeyIdentifierExtension.create(this.#certificate),
      ],
    };
  }
}
