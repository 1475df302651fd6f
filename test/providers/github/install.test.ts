import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { createGithubAdapter } from '../../../src/providers/github/index.ts';
import { signals } from '../../../src/providers/github/signals.ts';
import type { Signal } from '../../../src/providers/provider.ts';
import { type Answer, createCloud } from '../support/cloud.ts';
import { delivered, signedGithub } from '../support/sign.ts';
import { comment, delivery, identity, issue } from './payloads.ts';

function asked(): Extract<Signal, { kind: 'addressed' | 'ambient' }> {
  const body = delivery('created', { issue: issue(), comment: comment() });
  const [signal] = signals(delivered(signedGithub('issue_comment', body)), identity);
  if (signal?.kind !== 'addressed') throw new Error('not addressed');
  return signal;
}

describe('who may address the agent', () => {
  const decide = (answer: Answer) => {
    const cloud = createCloud(() => answer);
    return createGithubAdapter().mayAddress({ fetch: cloud.fetch, identity }, asked());
  };
  const having = (permission: string) => ({ json: { permission, role_name: permission, user: { id: 11 } } });

  test.each(['admin', 'write', 'maintain'])('people with %s', async (permission) => {
    expect(await decide(having(permission))).toEqual({ allowed: true });
  });

  test.each(['read', 'triage', 'none', ''])('not people with %j', async (permission) => {
    expect(await decide(having(permission))).toMatchObject({ allowed: false });
  });

  test('not strangers, nor who took over the name, nor anybody whom the app may not ask about', async () => {
    expect(await decide({ status: 404, json: { message: 'Not Found' } })).toMatchObject({
      allowed: false,
      detail: '@maya is not a collaborator of acme/widgets',
    });
    expect(await decide({ json: { permission: 'admin', user: { id: 12 } } })).toMatchObject({
      allowed: false,
    });
    expect(await decide({ status: 403, json: { message: 'Resource not accessible' } })).toMatchObject({
      allowed: false,
    });
  });

  test('nobody while GitHub does not answer', async () => {
    await expect(decide({ status: 503, json: {} })).rejects.toMatchObject({ code: 'unavailable' });
    await expect(decide({ status: 429, json: {} })).rejects.toMatchObject({ code: 'rate_limited' });
    await expect(decide({ throws: new TypeError('fetch failed') })).rejects.toMatchObject({
      code: 'unavailable',
    });
  });

  test('is asked for once in five minutes, by login and repository', async () => {
    let nowMs = 0;
    const cloud = createCloud(() => having('write'));
    const adapter = createGithubAdapter(() => nowMs);
    const context = { fetch: cloud.fetch, identity };
    await adapter.mayAddress(context, asked());
    nowMs = 299_999;
    await adapter.mayAddress(context, asked());
    expect(cloud.requests.map((request) => request.call)).toEqual([
      '/repos/acme/widgets/collaborators/maya/permission',
    ]);
    nowMs = 300_000;
    await adapter.mayAddress(context, asked());
    expect(cloud.requests).toHaveLength(2);
  });
});

describe('who am I', () => {
  const answers: Record<string, Answer> = {
    '/app': { json: { id: 501, slug: 'ada', name: 'Ada' } },
    '/app/installations/9001': { json: { id: 9001, account: { login: 'acme', id: 1 }, suspended_at: null } },
    '/users/ada%5Bbot%5D': { json: { id: 7001, login: 'ada[bot]', type: 'Bot' } },
  };
  const ask = (changed: Record<string, Answer> = {}) => {
    const cloud = createCloud(({ call }) => ({ ...answers, ...changed })[call] ?? { status: 404, json: {} });
    return createGithubAdapter().whoAmI({ fetch: cloud.fetch }, { app_id: '501', installation_id: '9001' });
  };

  test('app, installation and bot user', async () => {
    expect(await ask()).toEqual(identity);
  });

  test('a wrong key, a foreign installation and a suspended one are told apart', async () => {
    await expect(
      ask({ '/app': { status: 401, json: { message: 'Bad credentials' } } }),
    ).rejects.toMatchObject({
      code: 'unauthorized',
    });
    const gone = { '/app/installations/9001': { status: 404, json: { message: 'Not Found' } } };
    await expect(ask(gone)).rejects.toMatchObject({ code: 'refused' });
    const suspended = {
      '/app/installations/9001': { json: { id: 9001, suspended_at: '2026-01-01T00:00:00Z' } },
    };
    await expect(ask(suspended)).rejects.toThrow('suspended');
  });
});

describe('the private key', () => {
  const pem = (bits: number, type: 'pkcs1' | 'pkcs8') =>
    generateKeyPairSync('rsa', { modulusLength: bits }).privateKey.export({ type, format: 'pem' }).toString();
  const split = (private_key: string) =>
    createGithubAdapter().splitCredentials({
      app_id: 501,
      private_key,
      webhook_secret: 'a webhook secret',
      installation_id: 9001,
    });

  test('may be PKCS#1 or PKCS#8, and may come through an environment variable', () => {
    const key = pem(2048, 'pkcs1');
    expect(split(key).credential).toMatchObject({
      kind: 'github_app',
      secret: { app_id: '501', private_key: key },
      detail: { app_id: '501', installation_id: '9001' },
    });
    expect(split(pem(2048, 'pkcs8')).credential.kind).toBe('github_app');
    expect(split(key.replaceAll('\n', '\\n')).credential.secret.private_key).toBe(key);
    expect(split(key.replaceAll('\n', '\r\n')).credential.secret.private_key).toBe(key);
  });

  test('must be a whole RSA key of 2048 bits', () => {
    const other = generateKeyPairSync('ed25519')
      .privateKey.export({ type: 'pkcs8', format: 'pem' })
      .toString();
    const open = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({
      type: 'spki',
      format: 'pem',
    });
    for (const key of [
      pem(1024, 'pkcs1'),
      other,
      open.toString(),
      pem(2048, 'pkcs1').slice(0, 400),
      'secret',
    ]) {
      expect(() => split(key)).toThrow('private_key');
    }
  });
});
