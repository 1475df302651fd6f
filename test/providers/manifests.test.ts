import { describe, expect, it } from 'vitest';
import { permissionsOf, requiredScopes } from '../../src/capabilities/scopes.ts';
import { capabilityTables } from '../../src/capabilities/tables.ts';
import { capabilityWords } from '../../src/capabilities/words.ts';
import { githubManifestSchema } from '../../src/providers/github/manifest-schema.ts';
import { adapters } from '../../src/providers/index.ts';
import { linearManifestSchema } from '../../src/providers/linear/manifest-schema.ts';
import type { ManifestInput } from '../../src/providers/publish-flow.ts';
import { slackManifestSchema } from '../../src/providers/slack/manifest-schema.ts';
import type { ProviderName } from '../../src/store/schema.ts';

const providers: ProviderName[] = ['slack', 'github', 'linear'];
const schemas = { slack: slackManifestSchema, github: githubManifestSchema, linear: linearManifestSchema };
const input = (provider: ProviderName, more: Partial<ManifestInput> = {}): ManifestInput => ({
  name: 'Ada',
  description: 'Fixes what is broken.',
  baseUrl: 'https://tagalong.example.com',
  webhookUrl: `https://tagalong.example.com/webhooks/${provider}/pub_1`,
  redirectUrl: `https://tagalong.example.com/oauth/${provider}/callback`,
  setupUrl: 'https://tagalong.example.com/github/setup?publication=pub_1',
  scopes: requiredScopes(provider, {}),
  ...more,
});
const manifestOf = (provider: ProviderName, more: Partial<ManifestInput> = {}) =>
  schemas[provider].parse(adapters[provider].publishFlow.manifest(input(provider, more)));

describe.each(providers)('the manifest for %s', (provider) => {
  it.each([
    ['ordinary', {}],
    ['without a description', { description: '' }],
    ['of 174 characters', { description: 'a'.repeat(174) }],
    ['of 175 characters', { description: 'a'.repeat(175) }],
    ['huge', { name: 'n'.repeat(256), description: 'd'.repeat(20_000) }],
    ['of one character', { name: 'x' }],
    ['of characters outside the plane', { name: '🦊'.repeat(60), description: '🦊'.repeat(400) }],
    ['with line breaks and markup', { name: 'A\n"b"</script>', description: 'x\n\ty' }],
    ['named like the provider', { name: 'Linear https://x.example agent' }],
  ])('is valid for a persona that is %s', (_what, more) => {
    expect(() => manifestOf(provider, more)).not.toThrow();
  });

  it('is the same for the same publication', () => {
    expect(manifestOf(provider)).toEqual(manifestOf(provider));
  });

  it('holds no half of a character that was cut', () => {
    const text = JSON.stringify(
      manifestOf(provider, { name: `x${'🦊'.repeat(60)}`, description: `y${'🦊'.repeat(400)}` }),
    );
    expect(text.isWellFormed()).toBe(true);
  });

  it('has words for every capability', () => {
    expect(Object.keys(capabilityWords[provider]).sort()).toEqual(
      Object.keys(capabilityTables[provider]).sort(),
    );
  });
});

describe('the limits of Slack', () => {
  const slack = (more: Partial<ManifestInput>) => slackManifestSchema.parse(manifestOf('slack', more));
  it('cut a name at 35 characters and leave out a long description below 175', () => {
    expect(slack({ name: 'n'.repeat(36) }).display_information.name).toHaveLength(35);
    expect(slack({ description: 'a'.repeat(174) }).display_information.long_description).toBeUndefined();
    expect(slack({ description: 'a'.repeat(175) }).display_information.long_description).toHaveLength(175);
    expect(slack({ description: 'a'.repeat(141) }).display_information.description).toHaveLength(140);
  });

  it('refuse what Slack refuses', () => {
    const good = manifestOf('slack');
    expect(slackManifestSchema.safeParse({ ...good, extra: 1 }).success).toBe(false);
    const info = { name: 'x'.repeat(36) };
    expect(slackManifestSchema.safeParse({ ...good, display_information: info }).success).toBe(false);
  });
});

describe('scopes', () => {
  it('are the platform needs alone when everything is off', () => {
    const off = Object.fromEntries(Object.keys(capabilityTables.slack).map((name) => [name, 'off' as const]));
    const scopes = requiredScopes('slack', off);
    expect(scopes).toContain('app_mentions:read');
    expect(scopes).toContain('chat:write');
    expect(scopes).not.toContain('files:write');
  });

  it('grow with what is granted, for ask as for on, and shrink again', () => {
    expect(requiredScopes('slack', {})).not.toContain('search:read.public');
    expect(requiredScopes('slack', { 'search.read': 'ask' })).toContain('search:read.public');
    expect(requiredScopes('slack', { 'file.write': 'off' })).not.toContain('files:write');
  });

  it('become the higher of two levels for GitHub', () => {
    const permissions = permissionsOf(requiredScopes('github', {}));
    expect(permissions).toMatchObject({ metadata: 'read', issues: 'write', contents: 'write' });
    expect(permissions).not.toHaveProperty('workflows');
    const teams = { authority: { teams: ['acme/core'] } };
    expect(permissionsOf(requiredScopes('github', {}, teams)).members).toBe('read');
    expect(permissions.members).toBeUndefined();
    expect(requiredScopes('slack', {}, teams)).toEqual(requiredScopes('slack', {}));
    const more = permissionsOf(requiredScopes('github', { 'workflow.write': 'on' }));
    expect(more).toMatchObject({ workflows: 'write' });
    expect(permissionsOf(['contents:read', 'contents:write', 'contents:read'])).toEqual({
      contents: 'write',
    });
  });

  it('of Linear go with actor=app, which refuses admin', () => {
    const all = Object.fromEntries(Object.keys(capabilityTables.linear).map((name) => [name, 'on' as const]));
    expect(requiredScopes('linear', all)).not.toContain('admin');
  });
});
