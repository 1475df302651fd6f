import { defineConfig, mergeConfig } from 'vitest/config';
import base from './vitest.config.ts';

/** Everything: the tests of `npm test` with their long runs, and those of `test/full`. */
export default mergeConfig(
  base,
  defineConfig({
    test: { exclude: ['**/node_modules/**'], env: { TAGALONG_TEST_FULL: '1' }, testTimeout: 600_000 },
  }),
);
