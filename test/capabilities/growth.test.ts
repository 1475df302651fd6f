import { describe, expect, it } from 'vitest';
import { growthOf, narrower } from '../../src/capabilities/growth.ts';
import { missingScopes, requiredScopes } from '../../src/capabilities/scopes.ts';
import { capabilityTables } from '../../src/capabilities/tables.ts';
import type { Grant, ProviderName } from '../../src/store/schema.ts';

const providers: ProviderName[] = ['slack', 'github', 'linear'];
const grants: Grant[] = ['on', 'ask', 'off'];

describe('growth of capabilities', () => {
  it('is every step towards on, with the scopes that come with it', () => {
    const wanted = { 'search.read': 'ask', 'message.write': 'on', 'thread.reply': 'off' } as const;
    expect(growthOf('slack', {}, wanted)).toEqual({
      capabilities: [
        { name: 'message.write', from: 'ask', to: 'on' },
        { name: 'search.read', from: 'off', to: 'ask' },
      ],
      scopes: ['search:read.public'],
    });
    expect(narrower('slack', {}, wanted)).toEqual({ 'thread.reply': 'off' });
  });

  it('is nothing where a deviation goes back to a narrower default', () => {
    expect(growthOf('slack', { 'dm.write': 'on' }, {}).capabilities).toEqual([]);
    expect(narrower('slack', { 'dm.write': 'on' }, {})).toEqual({});
    expect(growthOf('slack', { 'thread.reply': 'off' }, {}).capabilities).toEqual([
      { name: 'thread.reply', from: 'off', to: 'on' },
    ]);
  });

  it('is nothing over what the narrower of two sets leaves, for any two sets', () => {
    // A small generator, so that a failure is the same tomorrow.
    let seed = 42;
    const next = (n: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed % n;
    };
    const anySet = (provider: ProviderName): Record<string, Grant> =>
      Object.fromEntries(
        Object.keys(capabilityTables[provider])
          .filter(() => next(3) === 0)
          .map((name) => [name, grants[next(3)] ?? 'off']),
      );
    for (let round = 0; round < 600; round++) {
      const provider = providers[round % 3] ?? 'slack';
      const [current, wanted] = [anySet(provider), anySet(provider)];
      const kept = narrower(provider, current, wanted);
      expect(growthOf(provider, current, kept)).toEqual({ capabilities: [], scopes: [] });
      expect(growthOf(provider, wanted, kept).capabilities).toEqual([]);
      const rest = growthOf(provider, kept, wanted).capabilities.map(({ name }) => name);
      expect(rest).toEqual(growthOf(provider, current, wanted).capabilities.map(({ name }) => name));
    }
  });

  it('counts what a provider gave: write covers read on GitHub, and creating on Linear', () => {
    expect(
      missingScopes('github', ['contents:read', 'issues:write'], ['contents:write', 'issues:read']),
    ).toEqual(['issues:write']);
    const linear = requiredScopes('linear', {});
    expect(linear).toContain('issues:create');
    expect(missingScopes('linear', linear, ['read', 'write', 'app:assignable', 'app:mentionable'])).toEqual(
      [],
    );
    expect(missingScopes('slack', ['chat:write', 'files:read'], ['chat:write'])).toEqual(['files:read']);
  });
});
