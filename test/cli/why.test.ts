import { describe, expect, it } from 'vitest';
import { traceOf } from '../../src/cli/why.ts';
import { readReason, whyOf } from '../../src/gateway/why.ts';
import { ignoreReasons } from '../../src/providers/ignore-reasons.ts';

describe('tagalong why', () => {
  it.each([
    ['https://acme.slack.com/archives/C1/p1763640000000100?thread_ts=1.1&cid=C1', '"ts":"1763640000.000100"'],
    [
      'https://github.com/acme/widgets/issues/7#issuecomment-2001',
      'https://github.com/acme/widgets/issues/7#issuecomment-2001',
    ],
    ['https://linear.app/acme/issue/ENG-1?x=1', 'https://linear.app/acme/issue/ENG-1'],
    ['dlv_0mwp48027cx25s1bcvkdog7p', undefined],
    ['https://x.test/" or 1=1', undefined],
  ])('reads %s', (subject, trace) => {
    expect(traceOf(subject)).toBe(trace);
  });

  it('has a sentence for every reason, with the detail where there is one', () => {
    for (const code of Object.keys(ignoreReasons)) {
      expect(whyOf('ignored', code, undefined, ignoreReasons)).toMatch(/^[A-Z].*\.$/s);
    }
    const { code, detail } = readReason('no_authority: Gia: they are a guest of this workspace');
    expect([code, detail]).toEqual(['no_authority', 'Gia: they are a guest of this workspace']);
    expect(whyOf('ignored', code, detail, ignoreReasons)).toMatch(
      /In detail: Gia: they are a guest of this workspace\.$/,
    );
    expect(whyOf('routed', undefined, undefined, ignoreReasons)).toMatch(/reached the agent/);
    expect(whyOf('routed', 'let_in', 'Gia.', ignoreReasons)).toMatch(
      /policy lets its author address it.*no authority.*In detail: Gia\.$/,
    );
    expect(whyOf('pending', 'waiting_for_install', undefined, ignoreReasons)).toMatch(
      /^It is stored and waits/,
    );
    expect(whyOf('pending', undefined, undefined, ignoreReasons)).toMatch(/^It is stored and waits/);
    expect(whyOf('failed', 'no such code', undefined, ignoreReasons)).toMatch(/could not be acted upon/);
    expect(readReason(null)).toEqual({});
  });
});
