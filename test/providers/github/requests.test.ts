import { describe, expect, test } from 'vitest';
import { parseCapability } from '../../../src/capabilities/decide.ts';
import { capabilityTables } from '../../../src/capabilities/tables.ts';
import { requestNeed } from '../../../src/providers/github/requests.ts';
import { repositoryRoutes } from '../../../src/providers/github/routes.ts';
import { writersIn } from '../../../src/providers/github/written.ts';
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
  [`PATCH ${r}/git/refs/heads/tagalong/ada/fix`, 'repo.push.default'],
  [`PATCH ${r}/git/refs/heads/main`, 'repo.push.default'],
  [`PATCH ${r}/git/refs/heads/tagalong`, 'repo.push.default'],
  [`DELETE ${r}/git/refs/heads/tagalong/ada/fix`, 'repo.branch.delete'],
  [`PUT ${r}/contents/src/a.ts`, 'repo.push.default'],
  [`POST ${r}/merges`, 'repo.push.default'],
  [`POST ${r}/actions/workflows/ci.yml/dispatches`, 'workflow.dispatch'],
  [`POST ${r}/dispatches`, 'workflow.dispatch'],
  [`POST ${r}/releases`, 'release.create'],
])('%s needs %s', (line, name) => {
  expect(need(line)).toMatchObject({
    ok: true,
    capability: `github:${name}`,
    repository: 'acme/widgets',
    place: { owner: 'acme', repo: 'widgets' },
  });
});

test('a search touches no one repository', () => {
  expect(need('GET /search/issues')).toEqual({
    ok: true,
    capability: 'github:search.read',
    brings: { by: 'anybody' },
  });
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

describe('branches by REST', () => {
  const changes = (line: string) => {
    const found = need(line);
    return found.ok ? found.changes : undefined;
  };
  test('say which one they change, so that the same rule as for a push decides', () => {
    expect(changes(`PATCH ${r}/git/refs/heads/tagalong/ada/fix`)).toEqual({
      ref: 'refs/heads/tagalong/ada/fix',
      kind: 'update',
    });
    expect(changes(`DELETE ${r}/git/refs/heads/x`)).toEqual({ ref: 'refs/heads/x', kind: 'delete' });
    expect(changes(`POST ${r}/git/refs`)).toEqual({ refIn: 'body' });
    expect(changes(`GET ${r}/git/refs/heads/x`)).toBeUndefined();
  });
});

describe('whose text a read brings back', () => {
  const brings = (line: string) => {
    const [method = '', url = ''] = line.split(' ');
    const { pathname, searchParams } = new URL(url, 'https://api.github.com');
    const found = requestNeed({ method, path: pathname, query: searchParams });
    return found.ok ? found.brings : 'refused';
  };

  test.each([
    `GET ${r}`,
    `GET ${r}/contents/src/a.ts`,
    `GET ${r}/contents/src/a.ts?ref=main`,
    `GET ${r}/contents/pull/request.md?ref=main`,
    `GET ${r}/contents/deadbeef/a.ts?ref=feature/x`,
    `GET ${r}/readme`,
    `GET ${r}/commits?sha=main`,
    `GET ${r}/compare/main...feature/x`,
    `GET ${r}/tarball/v1.2.0`,
    `GET ${r}/git/trees/main?recursive=1`,
    `GET ${r}/branches/main`,
    `GET ${r}/labels`,
    `HEAD ${r}/issues/1`,
    `POST ${r}/issues/1/comments`,
  ])('%s: of people who may write there', (line) => expect(brings(line)).toBeUndefined());

  test.each([
    `GET ${r}/contents/a.ts?ref=refs/pull/5/head`,
    `GET ${r}/contents/a.ts?ref=pull/5/head`,
    `GET ${r}/contents/a.ts?ref=main&ref=refs/pull/5/merge`,
    `GET ${r}/contents/a.ts?ref=${'a'.repeat(40)}`,
    `GET ${r}/contents/a.ts?ref=abcdef1`,
    `GET ${r}/contents/a.ts?ref=abcdef1~2`,
    `GET ${r}/commits?sha=refs/pull/5/head`,
    `GET ${r}/commits/refs/pull/5/head`,
    `GET ${r}/commits/${'b'.repeat(40)}/comments`,
    `GET ${r}/compare/main...stranger:main`,
    `GET ${r}/compare/main...abcdef1`,
    `GET ${r}/tarball/refs/pull/5/head`,
    `GET ${r}/git/trees/abcdef1`,
    `GET ${r}/git/blobs/${'c'.repeat(40)}`,
    `GET ${r}/actions/jobs/3/logs`,
    `GET ${r}/actions/runs`,
  ])('%s: of a fork perhaps', (line) => expect(brings(line)).toEqual({ by: 'forks' }));

  test('is named in the answer about issues, pull requests and comments, and of whoever wrote a pull request', () => {
    for (const path of ['issues', 'issues/1', 'issues/1/comments', 'issues/1/timeline', 'pulls']) {
      expect(brings(`GET ${r}/${path}`)).toEqual({ by: 'named' });
    }
    expect(brings(`GET ${r}/pulls/12`)).toEqual({ by: 'named', pull: '12' });
    expect(brings(`GET ${r}/pulls/12/files`)).toEqual({ by: 'pull', pull: '12' });
    expect(brings('GET /search/issues?q=x')).toEqual({ by: 'anybody' });
  });
});

describe('the writers in an answer', () => {
  const writers = (value: unknown) =>
    writersIn(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)))?.map(
      ({ author }) => author.id,
    );
  const ada = { id: 1, login: 'ada', type: 'User' };
  const eve = { id: 2, login: 'eve', type: 'User' };

  test('are all who are named, each once', () => {
    expect(writers({ title: 'x', user: ada })).toEqual(['1']);
    expect(writers([{ user: ada }, { actor: eve }, { user: ada }])).toEqual(['1', '2']);
    expect(writers([])).toEqual([]);
  });

  test('are those of a fork too, and not the organization that owns the repository', () => {
    const acme = { id: 9, login: 'acme', type: 'Organization' };
    const from = (owner: unknown, repo: unknown) => ({
      title: 'x',
      user: ada,
      head: { user: owner, repo },
      base: { user: acme, repo: { id: 1 } },
    });
    expect(writers(from(acme, { id: 1 }))).toEqual(['1']);
    expect(writers([from(eve, { id: 2, description: 'Obey!' })])).toEqual(['1', '2']);
    expect(writers(from(null, null))).toEqual(['1']);
    expect(writers(from(acme, { id: 2 }))).toBeUndefined();
  });

  test('are those of what an event quotes', () => {
    const quoted = { title: 'Elsewhere', body: 'Obey!', user: eve };
    expect(writers([{ event: 'cross-referenced', actor: ada, source: { issue: quoted } }])).toEqual([
      '1',
      '2',
    ]);
    expect(writers([{ event: 'labeled', actor: ada, issue: quoted }])).toEqual(['1', '2']);
    expect(writers([{ event: 'line-commented', actor: ada, comments: [{ body: 'x', user: eve }] }])).toEqual([
      '1',
      '2',
    ]);
    expect(writers({ title: 'x', user: ada, milestone: { title: 'v1', creator: eve } })).toEqual(['1', '2']);
    expect(writers([{ actor: ada, source: { issue: { ...quoted, user: null } } }])).toBeUndefined();
    let deep: unknown = { body: 'x', user: eve };
    for (let depth = 0; depth < 20; depth++) deep = { deep };
    expect(writers({ user: ada, deep })).toBeUndefined();
  });

  test('are not known where one is not named, or it is no such answer', () => {
    expect(writers([{ user: ada }, { user: null }])).toBeUndefined();
    expect(writers({ body: 'x' })).toBeUndefined();
    expect(writers('diff --git a/x b/x')).toBeUndefined();
    expect(writers([{ user: { id: 'x' } }])).toBeUndefined();
    expect(writers('"x"')).toBeUndefined();
  });
});
