import { CompactEncrypt, type CompactJWEHeaderParameters, compactDecrypt, importJWK, type JWK } from 'jose';
import {
  organizationKeyPair,
  type RootKeys,
  readableKeys,
  type SymmetricKey,
  type WebhookKey,
  writingKey,
} from './keys.ts';

/** Where a sealed value belongs; moved elsewhere it does not open. */
export interface SealBinding {
  organizationId: string;
  table: string;
  row: string;
  purpose: string;
}

/**
 * A sealed value does not open: `malformed` (it is no sealed value), `unknown_key` (sealed with another root key or
 * for another organization), `moved` (it belongs to another row or purpose), `forged` (it was changed).
 */
export class SealError extends Error {
  override name = 'SealError';
  readonly code: 'malformed' | 'unknown_key' | 'moved' | 'forged';
  constructor(code: SealError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

const nothing = new Uint8Array();

/** The protected header's field for the binding: organization, table, row, purpose, in this order. */
const bindingField = 'bnd';
const bindingOf = (b: SealBinding): string[] => [b.organizationId, b.table, b.row, b.purpose];
const place = (b: SealBinding): string => `${b.table} ${b.row} (${b.purpose})`;

function header(alg: string, kid: string, binding: SealBinding): CompactJWEHeaderParameters {
  return { alg, enc: 'A256GCM', kid, [bindingField]: bindingOf(binding) };
}

/** The id of the key that a value is sealed to; undefined when it is no sealed value. Its first part is enough. */
export function sealedKeyId(sealed: string): string | undefined {
  try {
    const [head = ''] = sealed.split('.', 1);
    const { kid } = JSON.parse(Buffer.from(head, 'base64url').toString('utf8')) as { kid?: unknown };
    return typeof kid === 'string' ? kid : undefined;
  } catch {
    return undefined;
  }
}

/** Seals with a symmetric key of our own; a compact JWE. */
export function sealWith(key: SymmetricKey, binding: SealBinding, plain: string): Promise<string> {
  return new CompactEncrypt(new TextEncoder().encode(plain))
    .setProtectedHeader(header('dir', key.kid, binding))
    .encrypt(key.bytes);
}

async function open(
  sealed: string,
  alg: string,
  kid: string,
  key: Parameters<typeof compactDecrypt>[1],
  binding: SealBinding,
): Promise<string> {
  const named = sealedKeyId(sealed);
  if (named === undefined) {
    throw new SealError('malformed', `What is stored for ${place(binding)} is not a sealed value.`);
  }
  if (named !== kid) {
    throw new SealError(
      'unknown_key',
      `The secret of ${place(binding)} was sealed with another root key or for another organization. Enter it again.`,
    );
  }
  let opened: Awaited<ReturnType<typeof compactDecrypt>>;
  try {
    opened = await compactDecrypt(sealed, key, {
      keyManagementAlgorithms: [alg],
      contentEncryptionAlgorithms: ['A256GCM'],
    });
  } catch (cause) {
    throw new SealError('forged', `The sealed secret of ${place(binding)} was changed and does not open.`, {
      cause,
    });
  }
  if (JSON.stringify(opened.protectedHeader[bindingField]) !== JSON.stringify(bindingOf(binding))) {
    throw new SealError('moved', `The secret that is stored for ${place(binding)} belongs elsewhere.`);
  }
  return new TextDecoder().decode(opened.plaintext);
}

/** Opens what `sealWith` sealed with this key, or with one of these. Rejects with a SealError. */
export function openWith(
  key: SymmetricKey | readonly SymmetricKey[],
  binding: SealBinding,
  sealed: string,
): Promise<string> {
  const named = sealedKeyId(sealed);
  const keys: readonly SymmetricKey[] = 'kid' in key ? [key] : key;
  const { kid, bytes } = keys.find((each) => each.kid === named) ?? keys[0] ?? { kid: '', bytes: nothing };
  return open(sealed, 'dir', kid, bytes, binding);
}

/** Seals a webhook signing secret for the gateway. */
export function sealWebhookSecret(key: WebhookKey, binding: SealBinding, secret: string): Promise<string> {
  return sealWith(key, binding, secret);
}

/** Opens a webhook signing secret. Rejects with a SealError when it was moved, changed, or sealed with another key. */
export function openWebhookSecret(
  key: WebhookKey | readonly WebhookKey[],
  binding: SealBinding,
  sealed: string,
): Promise<string> {
  return openWith(key, binding, sealed);
}

/**
 * Seals a credential to an organization's public key (ECDH-ES over X25519, A256GCM; a compact JWE). Whoever can do
 * this cannot open it again. Rejects with a SealError `unknown_key` when the key is not one of ours.
 */
export async function sealCredential(
  publicKey: JWK | Readonly<Record<string, unknown>>,
  binding: SealBinding,
  payload: Record<string, string>,
): Promise<string> {
  const jwk = publicKey as JWK;
  if (jwk.kty !== 'OKP' || jwk.crv !== 'X25519' || typeof jwk.kid !== 'string') {
    throw new SealError('unknown_key', 'A credential can be sealed only to an X25519 key that has a `kid`.');
  }
  const key = await importJWK({ kty: jwk.kty, crv: jwk.crv, x: jwk.x }, 'ECDH-ES');
  return new CompactEncrypt(new TextEncoder().encode(JSON.stringify(payload)))
    .setProtectedHeader(header('ECDH-ES', jwk.kid, binding))
    .encrypt(key);
}

/** Opens a credential; only the egress process has the root key. Rejects with a SealError. */
export async function openCredential(
  rootKeys: RootKeys,
  binding: SealBinding,
  sealed: string,
): Promise<Record<string, string>> {
  const named = sealedKeyId(sealed);
  const pairs = readableKeys(rootKeys).map((key) => organizationKeyPair(key, binding.organizationId));
  const pair =
    pairs.find(({ kid }) => kid === named) ??
    organizationKeyPair(writingKey(rootKeys), binding.organizationId);
  const plain = await open(sealed, 'ECDH-ES', pair.kid, pair.privateKey, binding);
  return JSON.parse(plain) as Record<string, string>;
}

/** Where the sealed half of a row of `credentials` belongs. */
export function credentialBinding(organizationId: string, credentialId: string): SealBinding {
  return { organizationId, table: 'credentials', row: credentialId, purpose: 'credential' };
}

/** Where the sealed half of a row of `notification_urls` belongs. */
export function notificationBinding(organizationId: string, urlId: string): SealBinding {
  return { organizationId, table: 'notification_urls', row: urlId, purpose: 'notification' };
}

/** Where the sealed half of a row of `webhook_secrets` belongs. */
export function webhookSecretBinding(organizationId: string, row: string): SealBinding {
  return { organizationId, table: 'webhook_secrets', row, purpose: 'webhook' };
}
