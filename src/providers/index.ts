import type { ProviderName } from '../store/schema.ts';
import { createGithubAdapter } from './github/index.ts';
import { createLinearAdapter } from './linear/index.ts';
import type { ProviderAdapter } from './provider.ts';
import { createSlackAdapter } from './slack/index.ts';

/** Every provider by its name, each with caches of its own that live as long as the process. */
export const adapters: Readonly<Record<ProviderName, ProviderAdapter>> = {
  slack: createSlackAdapter(),
  github: createGithubAdapter(),
  linear: createLinearAdapter(),
};
