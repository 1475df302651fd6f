import { describe, expect, test } from 'vitest';
import { clockTime, slackTime } from '../../console/src/text/time.ts';

describe('the time beside a message', () => {
  test('a Slack timestamp and a date give the same time of day', () => {
    expect(slackTime('1700000000.000100')).toBe(clockTime(new Date(1_700_000_000_000)));
    expect(slackTime('1700000000.000100')).toMatch(/\d/);
  });

  test('what is no time gives nothing', () => {
    for (const ts of ['soon', '', '1e300', 'NaN', '-'.repeat(1000)]) {
      expect(ts === '' ? clockTime(new Date('')) : slackTime(ts), ts).toBe('');
    }
  });
});
