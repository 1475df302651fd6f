import { describe, expect, test } from 'vitest';
import { parseCapability } from '../../../src/capabilities/decide.ts';
import { capabilityTables } from '../../../src/capabilities/tables.ts';
import { requestNeed } from '../../../src/providers/github/requests.ts';
import { repositoryRoutes } from '../../../src/providers/github/routes.ts';
import type { RequestNeed } from '../../../src/providers/provider.ts';
import { chance } from '../support/mutate.ts';

const need = (line: string): RequestNeed => {
  const [method = '', path = ''] = line.split(' ');
  return requestNeed({ method, path, query: new URLSearchParams() });
};
const capability = (line: string) => {
  const found = need(line);
  return found.ok ? found.capability : undefined;
};
const r = '/repos/acme/widgets';

test.each([
  [`GET ${r}`, 'repo.read'],
  [`HEAD ${r}/contents/src/a%20b.ts`, 'repo.read'],
  [`GET ${r}/git/trees/main`, 'repo.read'],
  [`GET ${r}/git/ref/heads/feature/x`, 'repo.read'],
  [`GET ${r}/branches/feature/x/protection`, 'repo.read'],
  [`GET ${r}/compare/main...topic`, 'repo.read'],
  [`GET ${r}/tarball/main`, 'repo.read'],
  [`GET ${r}/issues/7`, 'issue.read'],
  [`GET ${r}/issues/7/comments`, 'issue.read'],
  [`GET ${r}/pulls/8/files`, 'pr.read'],
  [`GET ${r}/actions/runs/5/jobs`, 'workflow.read'],
  [`GET ${r}/releases/latest`, 'release.read'],
  [`POST ${r}/issues/7/comments`, 'comment.write'],
  [`DELETE ${r}/issues/comments/9`, 'comment.delete'],
  [`POST ${r}/issues/7/labels`, 'label.add'],
  [`DELETE ${r}/issues/7/labels/help%20wanted`, 'label.remove'],
  [`POST ${r}/issues`, 'issue.create'],
  [`PATCH ${r}/issues/7`, 'issue.update'],
  [`POST ${r}/issues/7/assignees`, 'assignee.set'],
  [`POST ${r}/pulls`, 'pr.create'],
  [`PATCH ${r}/pulls/8`, 'pr.close'],
  [`POST ${r}/pulls/8/reviews`, 'pr.review.write'],
  [`PUT ${r}/pulls/8/merge`, 'pr.merge'],
  [`put ${r}/pulls/8/merge`, 'pr.merge'],
  [`POST ${r}/git/refs`, 'repo.branch.create'],
  [`PATCH ${r}/git/refs/heads/tagalong/ada/fix`, 'repo.push'],
  [`PATCH ${r}/git/refs/heads/main`, 'repo.push.default'],
  [`PATCH ${r}/git/refs/heads/tagalong`, 'repo.push.default'],
  [`DELETE ${r}/git/refs/heads/tagalong/ada/fix`, 'repo.branch.delete'],
  [`PUT ${r}/contents/src/a.ts`, 'repo.push.default'],
  [`POST ${r}/merges`, 'repo.push.default'],
  [`POST ${r}/actions/workflows/ci.yml/dispatches`, 'workflow.dispatch'],
  [`POST ${r}/dispatches`, 'workflow.dispatch'],
  [`POST ${r}/releases`, 'release.create'],
])('%s needs %s', (line, name) => {
  expect(need(line)).toEqual({ ok: true, capability: `github:${name}`, repository: 'acme/widgets' });
});

test('a search touches no one repository', () => {
  expect(need('GET /search/issues')).toEqual({ ok: true, capability: 'github:search.read' });
  expect(need('GET /search/anything').ok).toBe(false);
  expect(need('POST /search/issues').ok).toBe(false);
});

describe('refused', () => {
  test.each([
    'POST /graphql',
    'GET /user',
    'GET /',
    'GET /installation/repositories',
    'POST /app/installations/1/access_tokens',
    'GET /repos',
    'GET /repos/acme',
    'DELETE /repos/acme/widgets',
    'PATCH /repos/acme/widgets',
    'GET /repositories/33/issues/7',
    'GET /api/v3/repos/acme/widgets',
    `PATCH ${r}/issues/comments/9`,
    `POST ${r}/issues/comments/9`,
    `POST ${r}/issues/7`,
    `POST ${r}/pulls/8`,
    `POST ${r}/git/refs/heads/main`,
    `PUT ${r}/issues/7/labels`,
    `PUT ${r}/contents/.github/workflows/ci.yml`,
    `DELETE ${r}/contents/.github/workflows/ci.yml`,
    `PUT ${r}/contents/%2egithub/workflows/ci.yml`,
    `PATCH ${r}/git/refs/tags/v1`,
    `GET ${r}/actions/secrets`,
    `GET ${r}/actions/secrets/public-key`,
    `GET ${r}/actions/variables`,
    `GET ${r}/hooks`,
    `GET ${r}/keys`,
    `PUT ${r}/collaborators/eve`,
    `POST ${r}/statuses/abc`,
    `PUT ${r}/pulls/8/merge/x`,
    `PUT ${r}/pulls/merge`,
    `TRACE ${r}`,
    `OPTIONS ${r}`,
    `MERGE ${r}/pulls/8/merge`,
  ])('%s', (line) => {
    const found = need(line);
    expect(found.ok).toBe(false);
    expect(found).toHaveProperty('reason', expect.stringMatching(/\w{3}/));
  });

  test.each([
    '',
    'repos/acme/widgets',
    '/repos//acme/widgets',
    '/repos/acme/widgets/',
    '/repos/acme/widgets/../other',
    '/repos/acme/widgets/%2e%2e/other',
    '/repos/acme/widgets/./issues',
    '/repos/acme/widgets/contents/a%2Fb',
    '/repos/acme/widgets/contents/a%252Fb',
    '/repos/acme/widgets/contents/a%5Cb',
    '/repos/acme/widgets/contents/a%00b',
    '/repos/acme/widgets/contents/a%0d%0aHost:x',
    '/repos/acme/widgets/contents/a%zz',
    '/repos/acme/widgets/contents/a%ff',
    '/repos/acme/widgets/issues?x',
    '/repos/acme/widgets/issues#x',
    '/repos/acme/wid gets/issues',
    '/repos/acme/widgéts/issues',
    '/repos/acme%20x/widgets/issues',
    '/repos/acme\\widgets/issues/7',
    'https://api.github.com/repos/acme/widgets',
  ])('GET %j, which is not written in one clear way', (path) => {
    expect(requestNeed({ method: 'GET', path, query: new URLSearchParams() }).ok).toBe(false);
  });
});

test('what merges, deletes or writes to the default branch is never on by default', () => {
  for (const line of [
    `PUT ${r}/pulls/8/merge`,
    `POST ${r}/merges`,
    `PUT ${r}/contents/a`,
    `PATCH ${r}/git/refs/heads/main`,
    `DELETE ${r}/git/refs/heads/x`,
    `PATCH ${r}/pulls/8`,
  ]) {
    const name = capability(line)?.replace('github:', '') ?? '';
    expect(capabilityTables.github[name]).toBe('off');
  }
});

test('the table names known capabilities only, and no line is dead', () => {
  const random = chance(5);
  for (const route of repositoryRoutes) {
    const segments = route.pattern.map((part) =>
      part === ':n'
        ? String(1 + Math.floor(random() * 99))
        : part === ':x'
          ? 'x'
          : part === '*'
            ? 'some/path'
            : part,
    );
    const found = need(`${route.method} ${[r, ...segments].join('/')}`);
    if (route.capability === undefined) expect(found.ok).toBe(false);
    else {
      expect(parseCapability(`github:${route.capability}`)).toBeDefined();
      expect(found).toMatchObject({ ok: true, capability: `github:${route.capability}` });
    }
  }
});

test('no chance path is mapped outside of a repository, nor to another one than it names', () => {
  const random = chance(9);
  const parts = [
    'repos',
    'acme',
    'widgets',
    'pulls',
    '8',
    'merge',
    'issues',
    '..',
    '%2e',
    '%2F',
    '.',
    '',
    'contents',
    '%00',
    '*',
    ':n',
    'GRAPHQL',
    'Repos',
  ];
  for (let round = 0; round < 5_000; round++) {
    const path = `/${Array.from({ length: 1 + Math.floor(random() * 7) }, () => parts[Math.floor(random() * parts.length)]).join('/')}`;
    for (const method of ['GET', 'PUT', 'POST']) {
      const found = requestNeed({ method, path, query: new URLSearchParams() });
      if (found.ok) expect(path.startsWith(`/repos/${found.repository}`)).toBe(true);
    }
  }
});
