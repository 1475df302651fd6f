import { describe, expect, it } from 'vitest';
import { type Bound, bindingHash } from '../../src/outbound/approvals/binding.ts';
import { describeAction, redactSecrets } from '../../src/outbound/approvals/shown.ts';

const bound: Bound = {
  organizationId: 'org_1',
  sessionId: 'sesn_1',
  provider: 'slack',
  capability: 'slack:message.write',
  tool: 'slack_post_message',
  arguments: { channel: 'C1', text: 'hello' },
  anchorId: 'anchor_1',
  installationId: 'inst_1',
  place: { channel: 'C1' },
};

describe('what people are shown', () => {
  const action = {
    tool: 'github_create_issue',
    capability: 'github:issue.create',
    place: { owner: 'acme', repo: 'w' },
  };

  it('is all of it: tool, place, and every argument whole', () => {
    const shown = describeAction({
      ...action,
      arguments: { title: 'A', body: 'one\ntwo', labels: ['x', 'y'], deep: { a: 1 } },
    });
    for (const part of [
      'github_create_issue',
      'github:issue.create',
      'owner acme',
      'title: A',
      'body:\none\ntwo',
      '["x","y"]',
      '{"a":1}',
    ]) {
      expect(shown).toContain(part);
    }
  });

  it.each([
    'xoxb-1234567890-abcdefghij',
    'ghp_abcdefghijklmnop1234',
    'github_pat_11ABCDEFG0abcdefghij',
    'lin_api_abcdefgh1234',
    'sk-ant-api03-abcdefghijklmnop',
    'AKIAABCDEFGHIJKLMNOP',
    'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijk',
    '-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----',
    'Bearer abcdefghijklmnopqrstuvwxyz',
    'password: correcthorsebatterystaple1',
  ])('without what looks like a secret: %s', (secret) => {
    const shown = describeAction({ ...action, arguments: { body: `before ${secret} after` } });
    expect(shown).toContain('[hidden]');
    expect(shown).not.toContain(secret);
    expect(shown).toContain('before');
    expect(shown).toMatch(/1 part looks like a secret/);
  });

  it('leaves ordinary text as it is', () => {
    const text =
      'The token bucket refills; see https://example.com/a?b=c#d and commit 0123456789abcdef0123456789abcdef01234567.';
    expect(redactSecrets(text)).toEqual({ text, hidden: 0 });
  });
});

describe('what a word is bound to', () => {
  it('changes with every part, and not with the order of the arguments', () => {
    const hash = bindingHash(bound);
    expect(bindingHash({ ...bound, arguments: { text: 'hello', channel: 'C1' } })).toBe(hash);
    const changes: Partial<Bound>[] = [
      { organizationId: 'org_2' },
      { sessionId: 'sesn_2' },
      { provider: 'github' },
      { capability: 'slack:dm.write' },
      { tool: 'slack_reply' },
      { arguments: { channel: 'C1', text: 'hello ' } },
      { arguments: { channel: 'C2', text: 'hello' } },
      { anchorId: 'anchor_2' },
      { installationId: 'inst_2' },
      { place: { channel: 'C2' } },
    ];
    const hashes = changes.map((change) => bindingHash({ ...bound, ...change }));
    expect(new Set([hash, ...hashes]).size).toBe(changes.length + 1);
  });
});
