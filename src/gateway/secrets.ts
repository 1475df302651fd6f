import { createHmac } from 'node:crypto';
import type { SymmetricKey, WebhookKey } from '../vault/keys.ts';
import { openWebhookSecret, type SealBinding, sealCredential, sealWebhookSecret } from '../vault/seal.ts';

/**
 * What the gateway can do with secrets: open and seal those that it verifies webhooks with, and seal, but never open,
 * those that the egress process puts on. The key is bound in by who makes it.
 */
export interface GatewaySecrets {
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

/** The gateway's secrets with the two keys that it is given: `deriveWebhookKey` and `deriveStateKey` of the root key. */
export function createGatewaySecrets(key: WebhookKey, stateKey: SymmetricKey): GatewaySecrets {
  return {
    openWebhookSecret: (binding, sealed) => openWebhookSecret(key, binding, sealed),
    sealWebhookSecret: (binding, secret) => sealWebhookSecret(key, binding, secret),
    sealCredential,
    sign: (purpose, text) =>
      createHmac('sha256', stateKey.bytes).update(`${purpose}\0${text}`).digest('base64url'),
  };
}

/** Where the sealed half of a row of `webhook_secrets` belongs. */
export function webhookSecretBinding(organizationId: string, row: string): SealBinding {
  return { organizationId, table: 'webhook_secrets', row, purpose: 'webhook' };
}
