import { describe, expect, it } from 'vitest';
import { deriveSessionKey, deriveWebhookKey, organizationPublicKey } from '../../src/vault/keys.ts';
import {
  credentialBinding,
  openCredential,
  openWebhookSecret,
  sealCredential,
  sealWebhookSecret,
} from '../../src/vault/seal.ts';

const rootKey = Buffer.alloc(32, 1);
const otherRoot = Buffer.alloc(32, 2);
const binding = credentialBinding('org_a', 'cred_1');
const payload = { token: 'xoxb-secret', note: 'ü' };

describe('a sealed credential', () => {
  const sealed = () => sealCredential(organizationPublicKey(rootKey, 'org_a'), binding, payload);

  it('opens where it belongs, and says nothing of itself before', async () => {
    const value = await sealed();
    expect(value.split('.')).toHaveLength(5);
    expect(Buffer.from(value, 'base64url').toString('latin1') + value).not.toContain('xoxb');
    expect(await openCredential(rootKey, binding, value)).toEqual(payload);
  });

  it('is sealed to a key that does not open', () => {
    const jwk = organizationPublicKey(rootKey, 'org_a');
    expect(jwk).toMatchObject({ kty: 'OKP', crv: 'X25519' });
    expect(jwk).not.toHaveProperty('d');
    expect(organizationPublicKey(rootKey, 'org_a')).toEqual(jwk);
    expect(organizationPublicKey(rootKey, 'org_b').kid).not.toBe(jwk.kid);
  });

  it.each([
    ['another row', { ...binding, row: 'cred_2' }, 'moved'],
    ['another table', { ...binding, table: 'webhook_secrets' }, 'moved'],
    ['another purpose', { ...binding, purpose: 'webhook' }, 'moved'],
    ['another organization', { ...binding, organizationId: 'org_b' }, 'unknown_key'],
  ])('does not open when it was moved to %s', async (_, elsewhere, code) => {
    await expect(openCredential(rootKey, elsewhere, await sealed())).rejects.toMatchObject({ code });
  });

  it('does not open with another root key, changed, or cut off', async () => {
    const value = await sealed();
    await expect(openCredential(otherRoot, binding, value)).rejects.toMatchObject({ code: 'unknown_key' });
    const [head, ...rest] = value.split('.');
    const header = JSON.parse(Buffer.from(head ?? '', 'base64url').toString()) as Record<string, unknown>;
    header.bnd = ['org_a', 'credentials', 'cred_2', 'credential'];
    const forged = [Buffer.from(JSON.stringify(header)).toString('base64url'), ...rest].join('.');
    await expect(openCredential(rootKey, { ...binding, row: 'cred_2' }, forged)).rejects.toMatchObject({
      code: 'forged',
    });
    await expect(openCredential(rootKey, binding, `${value.slice(0, -4)}AAAA`)).rejects.toMatchObject({
      code: 'forged',
    });
    for (const junk of ['', 'x', '....', value.slice(0, 40)]) {
      await expect(openCredential(rootKey, binding, junk)).rejects.toMatchObject({ name: 'SealError' });
    }
  });

  it('cannot be swapped for one that somebody sealed with another algorithm', async () => {
    const key = deriveWebhookKey(rootKey);
    const dir = await sealWebhookSecret(
      { ...key, kid: String(organizationPublicKey(rootKey, 'org_a').kid) },
      binding,
      '{}',
    );
    await expect(openCredential(rootKey, binding, dir)).rejects.toMatchObject({ code: 'forged' });
  });

  it('is not sealed to a key that is not ours', async () => {
    await expect(sealCredential({ kty: 'oct', k: 'x' }, binding, payload)).rejects.toMatchObject({
      code: 'unknown_key',
    });
  });
});

describe('a sealed webhook secret', () => {
  const secretBinding = {
    organizationId: 'org_a',
    table: 'webhook_secrets',
    row: 'secret_1',
    purpose: 'webhook',
  };

  it("opens with the gateway's key and in its own row only", async () => {
    const key = deriveWebhookKey(rootKey);
    const value = await sealWebhookSecret(key, secretBinding, 'whsec');
    expect(await openWebhookSecret(key, secretBinding, value)).toBe('whsec');
    await expect(openWebhookSecret(key, { ...secretBinding, row: 'secret_2' }, value)).rejects.toMatchObject({
      code: 'moved',
    });
    await expect(openWebhookSecret(deriveWebhookKey(otherRoot), secretBinding, value)).rejects.toMatchObject({
      code: 'unknown_key',
    });
    await expect(openWebhookSecret(deriveSessionKey(rootKey), secretBinding, value)).rejects.toMatchObject({
      code: 'unknown_key',
    });
  });

  it('never seals twice to the same bytes', async () => {
    const key = deriveWebhookKey(rootKey);
    const [one, two] = await Promise.all([1, 2].map(() => sealWebhookSecret(key, secretBinding, '')));
    expect(one).not.toBe(two);
  });

  it('needs a root key of 32 bytes', () => {
    expect(() => deriveWebhookKey(new Uint8Array(16))).toThrow('32 bytes');
  });
});
