import { expect, test } from 'vitest';
import {
  type CredentialRule,
  compareRules,
  type MatchedRequest,
  mostSpecific,
  parseCredentialRule,
  ruleForUrl,
  ruleMatches,
  rulesTie,
} from '../../src/vault/credential-rules.ts';

/** Numbers that are the same in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const labels = ['a', 'b', 'api', 'aa'];
const pieces = ['x', 'y', 'xy', 'x%20', 'X', 'x;y'];
const methods = ['GET', 'POST', 'PUT'];

/** What a rule means, said slowly: every host and path that it could stand for is written out and compared. */
function obvious(
  rule: { host: string; path_prefix: string; methods: string[] | null },
  request: MatchedRequest,
) {
  const asked = request.host.split('.');
  const named = rule.host.split('.');
  if (asked.length !== named.length) return false;
  for (const [i, label] of named.entries())
    if (!(label === '*' && i === 0) && label !== asked[i]) return false;
  if (rule.methods !== null && !rule.methods.includes(request.method)) return false;
  const prefix = rule.path_prefix.endsWith('/') ? rule.path_prefix.slice(0, -1) : rule.path_prefix;
  return request.path === prefix || request.path.startsWith(`${prefix}/`);
}

test('matching says what a slow, obvious reading says', () => {
  const next = numbers(7);
  const one = <T>(of: readonly T[]): T => of[next(of.length)] as T;
  let matched = 0;
  const rounds = process.env.TAGALONG_TEST_FULL ? 1_000_000 : 40_000;
  for (let i = 0; i < rounds; i++) {
    const text = {
      host: `${next(3) === 0 ? '*' : one(labels)}.${one(labels)}.example`,
      path_prefix:
        `/${Array.from({ length: next(3) }, () => one(pieces)).join('/')}${next(4) === 0 ? '/' : ''}`.replace(
          '//',
          '/',
        ),
      methods: next(2) === 0 ? null : [one(methods)],
    };
    const rule = parseCredentialRule(text);
    if (!rule) throw new Error(JSON.stringify(text));
    const request = {
      method: one(methods),
      host: [...Array.from({ length: 1 + next(3) }, () => one(labels)), 'example'].join('.'),
      path: `/${Array.from({ length: next(4) }, () => one(pieces)).join('/')}`,
    };
    const says = ruleMatches(rule, request);
    if (says) matched += 1;
    expect({ text, request, says }).toEqual({ text, request, says: obvious(text, request) });
  }
  expect(matched).toBeGreaterThan(rounds / 200);
});

test('of all that match, none says more than the chosen one, and a tie would have been refused', () => {
  const next = numbers(11);
  const one = <T>(of: readonly T[]): T => of[next(of.length)] as T;
  for (let i = 0; i < 5_000; i++) {
    const rules: { rule: CredentialRule }[] = [];
    for (let j = 0; j < 6; j++) {
      const rule = parseCredentialRule({
        host: `${one(['*', 'a', 'b'])}.h.example`,
        path_prefix: one(['/', '/x', '/x/y', '/y']),
        methods: one([null, ['GET'], ['GET', 'POST']]),
      });
      if (rule && !rules.some((other) => rulesTie(rule, other.rule))) rules.push({ rule });
    }
    const request = {
      method: one(methods),
      host: `${one(['a', 'b', 'c'])}.h.example`,
      path: one(['/', '/x', '/x/y/z', '/y']),
    };
    const chosen = mostSpecific(rules, request);
    const matching = rules.filter(({ rule }) => ruleMatches(rule, request));
    expect(chosen === undefined).toBe(matching.length === 0);
    for (const other of matching) {
      if (chosen && other !== chosen) expect(compareRules(chosen.rule, other.rule)).toBeLessThan(0);
    }
  }
});

test.each([
  ['/repos/a', '/repos/a', true],
  ['/repos/a', '/repos/a/', true],
  ['/repos/a', '/repos/a/b', true],
  ['/repos/a', '/repos/ab', false],
  ['/repos/a', '/repos/A', false],
  ['/repos/a', '/repos/a;x', false],
  ['/repos/a', '/repos/a%2fb', false],
  ['/repos/a', '/repos/%61', false],
  ['/repos/a', '/repos', false],
  ['/', '/anything', true],
])('a rule for %s and a request for %s: %s', (path_prefix, path, says) => {
  const rule = parseCredentialRule({ host: 'api.example.com', path_prefix, methods: null });
  expect(rule && ruleMatches(rule, { method: 'GET', host: 'api.example.com', path })).toBe(says);
});

test.each([
  ['*.example.com', 'a.example.com', true],
  ['*.example.com', 'a.b.example.com', false],
  ['*.example.com', 'example.com', false],
  ['*.example.com', 'example.com.evil.org', false],
  ['example.com', 'evilexample.com', false],
])('a binding to %s and the host %s: %s', (host, asked, says) => {
  const rule = parseCredentialRule({ host, path_prefix: '/', methods: null });
  expect(rule && ruleMatches(rule, { method: 'GET', host: asked, path: '/' })).toBe(says);
});

test.each([
  [{ host: '*' }],
  [{ host: '*.com' }],
  [{ host: 'a*.example.com' }],
  [{ host: '127.0.0.1' }],
  [{ host: 'localhost' }],
  [{ path_prefix: '/a/../b' }],
  [{ path_prefix: '/a//b' }],
  [{ path_prefix: '/a?x=1' }],
  [{ path_prefix: 'a' }],
  [{ methods: [] }],
  [{ methods: ['GET '] }],
])('%j is no rule', (changes) => {
  expect(
    parseCredentialRule({ host: 'api.example.com', path_prefix: '/', methods: null, ...changes }),
  ).toBeUndefined();
});

test('a URL of an MCP server stands for itself and what is below it', () => {
  expect(ruleForUrl(new URL('https://MCP.Example.com/mcp'))).toEqual({
    host: 'mcp.example.com',
    path_prefix: '/mcp',
    methods: null,
  });
  for (const url of [
    'http://a.example.com/',
    'https://a.example.com:8443/',
    'https://u:p@a.example.com/',
    'https://127.0.0.1/',
  ]) {
    expect(ruleForUrl(new URL(url))).toBeUndefined();
  }
});
