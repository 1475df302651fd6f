import { describe, expect, it } from 'vitest';
import { maxAttempts, recoverTurn } from '../../src/sessions/recovery.ts';

describe('recoverTurn', () => {
  it('starts a turn whose program was never asked as if for the first time, however often', () => {
    expect(recoverTurn({ promptedAt: null, attempt: 99 })).toEqual({ kind: 'start' });
  });

  it('resumes a turn of unknown outcome as its next attempt', () => {
    expect(recoverTurn({ promptedAt: new Date(), attempt: 1 })).toEqual({ kind: 'resume', attempt: 2 });
  });

  it('gives up after the last attempt, in words for the thread', () => {
    const recovery = recoverTurn({ promptedAt: new Date(), attempt: maxAttempts });
    expect(recovery).toMatchObject({
      kind: 'give_up',
      message: expect.stringContaining('interrupted 4 times'),
    });
  });
});
