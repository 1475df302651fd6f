import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Capability } from '../../src/capabilities/capability.ts';
import { decide, grantOf, parseCapability, unknownCapabilities } from '../../src/capabilities/decide.ts';
import { capabilityTables } from '../../src/capabilities/tables.ts';
import type { Grant } from '../../src/store/schema.ts';

describe('the tables', () => {
  test('cannot be changed while the program runs', () => {
    expect(() => Object.assign(capabilityTables.github, { 'pr.merge': 'on' })).toThrow();
    expect(capabilityTables.github['pr.merge']).toBe('off');
  });

  test('hold names of one shape, each with one grant', () => {
    for (const table of Object.values(capabilityTables)) {
      for (const [name, grant] of Object.entries(table)) {
        expect(name).toMatch(/^[a-z]+(\.[a-z_]+){1,2}$/);
        expect(['on', 'ask', 'off']).toContain(grant);
      }
    }
  });

  test('name each capability in one list only', () => {
    const source = readFileSync(new URL('../../src/capabilities/tables.ts', import.meta.url), 'utf8');
    for (const [provider, table] of Object.entries(capabilityTables)) {
      const lists = source.split(`${provider}: table(`)[1]?.split('),')[0] ?? '';
      const names = [...lists.matchAll(/[a-z]+(?:\.[a-z_]+)+/g)].map(([name]) => name);
      expect(names.length).toBe(Object.keys(table).length);
    }
  });

  test.each<Capability>([
    'slack:message.delete',
    'slack:channel.mention',
    'slack:read.elsewhere',
    'github:pr.merge',
    'github:repo.push.default',
    'github:repo.branch.delete',
    'github:workflow.write',
    'github:graphql.read',
    'linear:issue.delete',
    'linear:graphql.read',
  ])('do not grant %s by themselves', (capability) => {
    expect(grantOf(capability, {})).toBe('off');
  });
});

describe('the gate', () => {
  test('says yes, asks, or says no, and why', () => {
    expect(decide('slack:thread.reply', {})).toEqual({ decision: 'allowed', reason: '' });
    expect(decide('slack:message.write', {})).toMatchObject({ decision: 'waiting_for_approval' });
    expect(decide('github:pr.merge', {})).toMatchObject({
      decision: 'refused',
      reason: expect.stringContaining('github:pr.merge'),
    });
  });

  test("an admin's word goes before the table, in both directions", () => {
    expect(decide('github:pr.merge', { 'pr.merge': 'on' }).decision).toBe('allowed');
    expect(decide('github:pr.merge', { 'pr.merge': 'ask' }).decision).toBe('waiting_for_approval');
    expect(decide('slack:thread.reply', { 'thread.reply': 'off' }).decision).toBe('refused');
  });

  test.each([
    'github:unknown.thing',
    'github:',
    'github',
    '',
    ':pr.merge',
    'gitlab:pr.merge',
    'github:__proto__',
    'github:constructor',
    'github:toString',
    '__proto__:pr.merge',
    'constructor:name',
    'github:PR.MERGE',
    'github: pr.merge',
  ])('knows no %j, whatever is granted', (name) => {
    expect(parseCapability(name)).toBeUndefined();
    const everything = { 'pr.merge': 'on', 'unknown.thing': 'on', constructor: 'on' } as Record<
      string,
      Grant
    >;
    expect(decide(name as Capability, everything).decision).toBe('refused');
  });

  test("another provider's grant of the same name is not read", () => {
    expect(grantOf('linear:issue.delete', { 'issue.delete': 'on' })).toBe('on');
    expect(grantOf('slack:issue.delete' as Capability, { 'issue.delete': 'on' })).toBe('off');
  });
});

test('unknown names are found when they are set', () => {
  expect(unknownCapabilities('github', { 'pr.merge': 'on' })).toEqual([]);
  const given = { 'pr.merge': 'on', 'thread.reply': 'on', toString: 'on', 'pr.marge': 'off' } as unknown;
  expect(unknownCapabilities('github', given as Record<string, Grant>)).toEqual([
    'thread.reply',
    'toString',
    'pr.marge',
  ]);
});
