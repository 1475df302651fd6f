import { createHmac } from 'node:crypto';
import type { SymmetricKey, WebhookKey } from '../vault/keys.ts';
import { openWebhookSecret, type SealBinding, sealCredential, sealWebhookSecret } from '../vault/seal.ts';

export { webhookSecretBinding } from '../vault/seal.ts';

/**
 * What the gateway can do with secrets: open and seal those that it verifies webhooks with, and seal, but never open,
 * those that the egress process puts on. The key is bound in by who makes it.
 */
export interface GatewaySecrets {
  /** Of the key that webhook secrets are sealed with from now on. */
  webhookKeyId: string;
  openWebhookSecret(binding: SealBinding, sealed: string): Promise<string>;
  sealWebhookSecret(binding: SealBinding, secret: string): Promise<string>;
  /** `publicKey` is the organization's `sealing_public_key`. */
  sealCredential(
    publicKey: Readonly<Record<string, unknown>>,
    binding: SealBinding,
    payload: Record<string, string>,
  ): Promise<string>;
  /** A keyed digest (base64url) of a text that leaves by way of a browser; `purpose` keeps its uses apart. */
  sign(purpose: 'state' | 'pkce', text: string): string;
}

/** The gateway's secrets with the keys that it is given: `deriveWebhookKey` and `deriveStateKey` of the root key, and the
 * webhook keys of a root key that is being replaced. */
export function createGatewaySecrets(
  key: WebhookKey,
  stateKey: SymmetricKey,
  previousKeys: readonly WebhookKey[] = [],
): GatewaySecrets {
  return {
    webhookKeyId: key.kid,
    openWebhookSecret: (binding, sealed) => openWebhookSecret([key, ...previousKeys], binding, sealed),
    sealWebhookSecret: (binding, secret) => sealWebhookSecret(key, binding, secret),
    sealCredential,
    sign: (purpose, text) =>
      createHmac('sha256', stateKey.bytes).update(`${purpose}\0${text}`).digest('base64url'),
  };
}
