import { generateKeyPairSync } from 'node:crypto';
import { App } from '@octokit/app';
import { hopsIn } from '../../../src/providers/github/hops.ts';
import { createGithubAdapter } from '../../../src/providers/github/index.ts';
import { providerContract } from '../contract.ts';
import { signedGithub } from '../support/sign.ts';
import { comment, deliveries, delivery, identity, issue } from './payloads.ts';

const { privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
});

const otherAgent = { id: 7002, login: 'grace[bot]', type: 'Bot' };

providerContract({
  adapter: createGithubAdapter(),
  identity,
  payloads: deliveries.map(([event, body]) => ({ sign: (changed) => signedGithub(event, changed), body })),
  signedHeaders: ['x-hub-signature-256'],
  target: {
    place: { owner: 'acme', repo: 'widgets', number: '7', repository_id: '33', kind: 'issue' },
    message: { kind: 'comment', comment_id: '2001', at: '2026-11-20T12:00:00Z' },
  },
  failures: {
    rate_limited: {
      status: 403,
      headers: { 'retry-after': '7' },
      json: { message: 'You have exceeded a secondary rate limit' },
    },
    unavailable: { status: 502, json: { message: 'Server Error' } },
    unauthorized: { status: 401, json: { message: 'Bad credentials' } },
    refused: { status: 404, json: { message: 'Not Found' } },
  },
  success: () => ({ status: 201, json: { id: 1, html_url: 'https://github.com/acme/widgets/issues/7' } }),
  decision: (decision, id) =>
    signedGithub(
      'issue_comment',
      delivery('created', {
        issue: issue(),
        comment: comment({ body: `Fine by me.\n\n/${decision} ${id}\n` }),
      }),
    ),
  hopsIn: ({ body }) => hopsIn(String(body)),
  heard: ({ body }) =>
    signedGithub(
      'issue_comment',
      delivery('created', {
        issue: issue(),
        comment: comment({ body: `@ada ${body}`, user: otherAgent }),
        sender: otherAgent,
      }),
    ),
  asked: {
    author: { id: '11', name: 'maya', kind: 'person' },
    anchor: { key: '33#7', place: { owner: 'acme', repo: 'widgets', number: '7', repository_id: '33' } },
    authorHint: { login: 'maya' },
  },
  standings: {
    member: () => ({ json: { permission: 'write', role_name: 'write', user: { id: 11 } } }),
    external: () => ({ json: { permission: 'read', role_name: 'read', user: { id: 11 } } }),
    unknown: () => ({ json: { permission: 'admin', role_name: 'admin', user: { id: 12 } } }),
  },
  placeNames: ['acme/widgets', 'acme/*', 'acme'],
  credentials: {
    valid: {
      app_id: '501',
      private_key: privateKey,
      webhook_secret: 'a webhook secret',
      installation_id: '9001',
    },
    secretFields: ['private_key', 'webhook_secret'],
  },
  official: (request, key) =>
    new App({ appId: 1, privateKey, webhooks: { secret: key } }).webhooks.verify(
      request.body.toString(),
      request.headers['x-hub-signature-256'] ?? '',
    ),
});
