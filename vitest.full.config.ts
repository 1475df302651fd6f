import { defineConfig } from 'vitest/config';
import base from './vitest.config.ts';

/** Everything: the tests of `npm test` with their long runs, and those of `test/full`. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    // Not merged: lists would be joined, and the base leaves out `test/full`.
    exclude: ['**/node_modules/**'],
    env: { TAGALONG_TEST_FULL: '1' },
    testTimeout: 600_000,
  },
});
