import { describe, expect, test } from 'vitest';
import { createLinearAdapter } from '../../../src/providers/linear/index.ts';
import { signals } from '../../../src/providers/linear/signals.ts';
import type { Signal } from '../../../src/providers/provider.ts';
import { type Answer, createCloud } from '../support/cloud.ts';
import { delivered, signedLinear } from '../support/sign.ts';
import { created, identity } from './payloads.ts';

const member = { id: 'user-1', name: 'Maya', displayName: 'maya', active: true, guest: false, app: false };

function asked(): Extract<Signal, { kind: 'addressed' | 'ambient' }> {
  const [signal] = signals(delivered(signedLinear(created())), identity);
  if (signal?.kind !== 'addressed') throw new Error('not addressed');
  return signal;
}

describe('who may address the agent', () => {
  const decide = (answer: Answer) => {
    const cloud = createCloud(() => answer);
    return createLinearAdapter().mayAddress({ fetch: cloud.fetch, identity }, asked());
  };
  const user = (fields: Record<string, unknown>) =>
    decide({ json: { data: { user: { ...member, ...fields } } } });

  test('active members', async () => {
    expect(await user({})).toEqual({ allowed: true });
  });

  test.each([
    ['guests', { guest: true }],
    ['suspended people', { active: false }],
    ['apps', { app: true }],
  ])('not %s', async (_, fields) => {
    expect(await user(fields)).toMatchObject({
      allowed: false,
      detail: expect.stringMatching(/^maya: they are|^maya: their/),
    });
  });

  test('not people whom Linear does not know', async () => {
    const errors = [{ message: 'Entity not found: User', extensions: { type: 'invalid input' } }];
    expect(await decide({ json: { data: null, errors } })).toMatchObject({ allowed: false });
  });

  test('nobody while Linear does not answer', async () => {
    await expect(decide({ status: 503, text: '' })).rejects.toMatchObject({ code: 'unavailable' });
    await expect(decide({ throws: new TypeError('fetch failed') })).rejects.toMatchObject({
      code: 'unavailable',
    });
  });

  test('is asked for once in five minutes', async () => {
    let nowMs = 0;
    const cloud = createCloud(() => ({ json: { data: { user: member } } }));
    const adapter = createLinearAdapter(() => nowMs);
    for (const at of [0, 299_999, 300_000]) {
      nowMs = at;
      await adapter.mayAddress({ fetch: cloud.fetch, identity }, asked());
    }
    expect(cloud.requests).toHaveLength(2);
  });
});

describe('who am I', () => {
  const ask = (viewer: Record<string, unknown>) => {
    const cloud = createCloud(({ call }) => ({
      json: {
        data:
          call === 'viewer'
            ? { viewer }
            : { organization: { id: 'org-1', name: 'Acme', urlKey: 'acme', projectStatuses: [] } },
      },
    }));
    return createLinearAdapter().whoAmI({ fetch: cloud.fetch }, {});
  };

  test("the organization, and the app's own user in it", async () => {
    expect(await ask({ id: 'app-user-1', name: 'Ada', displayName: 'ada', app: true, active: true })).toEqual(
      identity,
    );
  });

  test("a person's token is refused, with what to do", async () => {
    await expect(ask({ ...member })).rejects.toThrow('actor=app');
  });
});

test('a personal API key is told apart from the token of an app', () => {
  const split = (access_token: string) =>
    createLinearAdapter().splitCredentials({ signing_secret: 'lin_wh_0123456789', access_token });
  expect(() => split('lin_api_0123456789')).toThrow('actor=app');
  expect(split(' lin_oauth_0123456789\n').credential).toEqual({
    kind: 'linear_app',
    secret: { access_token: 'lin_oauth_0123456789' },
    detail: {},
  });
});
