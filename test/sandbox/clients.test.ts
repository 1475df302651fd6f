import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createHarness, type Harness } from './harness.ts';
import { type Handler, startTestProxy, type TestProxy } from './test-proxy.ts';

const commit = '1234567890123456789012345678901234567890';
let harness: Harness;
let proxy: TestProxy;

const answer: Handler = (request, response, host) => {
  if (request.url?.includes('/info/refs')) {
    response.setHeader('content-type', 'text/plain');
    response.end(`${commit}\trefs/heads/main\n`);
  } else if (host === 'registry.npmjs.org') {
    response.setHeader('content-type', 'application/json');
    const dist = { tarball: 'https://registry.npmjs.org/x.tgz' };
    response.end(
      JSON.stringify({
        name: 'tiny',
        'dist-tags': { latest: '3.2.1' },
        versions: { '3.2.1': { name: 'tiny', version: '3.2.1', dist } },
      }),
    );
  } else {
    response.end(`${request.method} ${host}\n`);
  }
};

beforeAll(async () => {
  harness = await createHarness();
  proxy = await startTestProxy(answer);
});
beforeEach(() => {
  proxy.connects.length = 0;
});
afterAll(() => {
  proxy.close();
  harness.clear();
});

const has = async (program: string) =>
  (await harness.run(`command -v ${program} >/dev/null && echo yes`)).stdout === 'yes\n';

const clients: Record<string, { needs: string; script: string; expected: string }> = {
  curl: { needs: 'curl', script: 'curl -sS https://one.example/', expected: 'GET one.example' },
  'curl over http': { needs: 'curl', script: 'curl -sS http://one.example/', expected: 'GET one.example' },
  git: {
    needs: 'git',
    script: 'git ls-remote https://git.example/team/repo.git',
    expected: `${commit}\trefs/heads/main`,
  },
  'node fetch': {
    needs: 'node',
    script: 'node -e \'fetch("https://two.example/").then((r) => r.text()).then((t) => console.log(t))\'',
    expected: 'GET two.example',
  },
  'node https': {
    needs: 'node',
    script: 'node -e \'require("https").get("https://three.example/", (r) => r.pipe(process.stdout))\'',
    expected: 'GET three.example',
  },
  python: {
    needs: 'python3',
    script:
      'python3 -c \'import urllib.request as u; print(u.urlopen("https://four.example/").read().decode())\'',
    expected: 'GET four.example',
  },
  npm: { needs: 'npm', script: 'npm view tiny version', expected: '3.2.1' },
};

for (const [name, client] of Object.entries(clients)) {
  test(`${name} reaches the proxy and trusts the session's CA`, async (context) => {
    if (!(await has(client.needs))) context.skip(`${client.needs} is not installed`);
    const { stdout, stderr } = await harness.run(client.script, {
      caCertificatePem: proxy.caCertificatePem,
      onListener: proxy.serve,
    });
    expect(stderr + stdout).toContain(client.expected);
  });
}

test('a client does not trust what another CA signed', async (context) => {
  if (!(await has('curl'))) context.skip('curl is not installed');
  const other = await startTestProxy(answer);
  const { stdout } = await harness.run('curl -sS https://one.example/ 2>/dev/null || echo distrusted', {
    caCertificatePem: other.caCertificatePem,
    onListener: proxy.serve,
  });
  expect(stdout).toBe('distrusted\n');
});

test('names are not resolved inside: the proxy gets them', async () => {
  await harness.run('curl -sS https://never.resolved.example/; getent hosts never.resolved.example', {
    caCertificatePem: proxy.caCertificatePem,
    onListener: proxy.serve,
  });
  expect(proxy.connects).toEqual(['never.resolved.example:443']);
});
