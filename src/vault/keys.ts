import { createHash, createPrivateKey, createPublicKey, hkdfSync, type KeyObject } from 'node:crypto';
import type { JWK } from 'jose';

/** A derived AES key with the id that sealed values name it by. */
export interface SymmetricKey {
  kid: string;
  /** 32 bytes. Never logged. */
  bytes: Uint8Array;
}

/** Opens and seals webhook signing secrets; derived for the gateway and for nothing else. */
export type WebhookKey = SymmetricKey;

/** A root key; while it is replaced, the one that is written with, and those that can only be read with. */
export type RootKeys = Uint8Array | readonly [writing: Uint8Array, ...readable: Uint8Array[]];

/** All that can be read with, the one that is written with first. */
export function readableKeys(keys: RootKeys): readonly Uint8Array[] {
  return keys instanceof Uint8Array ? [keys] : keys;
}

/** The one that is written with. */
export function writingKey(keys: RootKeys): Uint8Array {
  return keys instanceof Uint8Array ? keys : keys[0];
}

const salt = 'tagalong';
/** DER of a PKCS#8 X25519 private key up to its 32 bytes (RFC 8410, section 7). */
const x25519Prefix = Buffer.from('302e020100300506032b656e04220420', 'hex');

function derive(rootKey: Uint8Array, info: string): Buffer {
  if (rootKey.byteLength !== 32) throw new RangeError('The root key must have exactly 32 bytes.');
  return Buffer.from(hkdfSync('sha256', rootKey, salt, info, 32));
}

function keyId(prefix: string, material: string | Buffer): string {
  return `${prefix}-${createHash('sha256').update('kid').update(material).digest('base64url').slice(0, 16)}`;
}

function symmetric(rootKey: Uint8Array, prefix: string, info: string): SymmetricKey {
  const bytes = derive(rootKey, info);
  return { kid: keyId(prefix, bytes), bytes };
}

/** The gateway's key for webhook signing secrets. Whoever has it cannot derive any other. Throws a RangeError for a
 * root key that has not 32 bytes. */
export function deriveWebhookKey(rootKey: Uint8Array): WebhookKey {
  return symmetric(rootKey, 'wh1', 'webhook-secrets/1');
}

/** The gateway's key for what comes back to it by way of a browser: OAuth states, and the proofs that go with them. */
export function deriveStateKey(rootKey: Uint8Array): SymmetricKey {
  return symmetric(rootKey, 'st1', 'publish-states/1');
}

/** The egress process's key for what it gives the worker to keep: the CA keys of running sessions. */
export function deriveSessionKey(rootKey: Uint8Array): SymmetricKey {
  return symmetric(rootKey, 'se1', 'session-authority/1');
}

/** The egress process's key for the seals over what it records. */
export function deriveRecordKey(rootKey: Uint8Array): SymmetricKey {
  return symmetric(rootKey, 'er1', 'egress-records/1');
}

function organizationPrivateKey(rootKey: Uint8Array, organizationId: string): KeyObject {
  const seed = derive(rootKey, `organization-credentials/1/${organizationId}`);
  return createPrivateKey({ key: Buffer.concat([x25519Prefix, seed]), format: 'der', type: 'pkcs8' });
}

function publicJwk(privateKey: KeyObject): JWK & { kid: string } {
  const { kty, crv, x } = createPublicKey(privateKey).export({ format: 'jwk' });
  return { kty, crv, x, alg: 'ECDH-ES', use: 'enc', kid: keyId('og1', String(x)) } as JWK & { kid: string };
}

/** The JWK (X25519, with `kid`) to which credentials of this organization are sealed. Holds no secret. */
export function organizationPublicKey(rootKey: Uint8Array, organizationId: string): JWK {
  return publicJwk(organizationPrivateKey(rootKey, organizationId));
}

/** Both halves, for the egress process alone. */
export function organizationKeyPair(
  rootKey: Uint8Array,
  organizationId: string,
): { kid: string; privateKey: KeyObject } {
  const privateKey = organizationPrivateKey(rootKey, organizationId);
  return { kid: publicJwk(privateKey).kid, privateKey };
}
