import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createHarness, type Harness } from './harness.ts';
import { type Handler, startTestProxy, type TestProxy } from './test-proxy.ts';

let harness: Harness;
let proxy: TestProxy;

const answer: Handler = (request, response, host) => response.end(`${request.method} ${host}\n`);

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

test('a client does not trust what another CA signed', async () => {
  const other = await startTestProxy(answer);
  const { stdout } = await harness.run('curl -sS https://one.example/ 2>/dev/null || echo distrusted', {
    caCertificatePem: other.caCertificatePem,
    onListener: proxy.serve,
  });
  expect(stdout).toBe('distrusted\n');
});

test('names are not resolved inside: the proxy gets them', async () => {
  await harness.run('curl -sS https://never.resolved.example/', {
    caCertificatePem: proxy.caCertificatePem,
    onListener: proxy.serve,
  });
  expect(proxy.connects).toEqual(['never.resolved.example:443']);
});
