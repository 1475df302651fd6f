import { type BubblewrapOptions, createBubblewrapSandbox } from './bubblewrap.ts';
import { createNoSandbox } from './none.ts';
import type { SandboxPort } from './sandbox.ts';

export type SandboxKind = 'bubblewrap' | 'none';

/** The sandbox that the configuration names. There is no falling back from one to the other. */
export function createSandbox(kind: SandboxKind, options: BubblewrapOptions): SandboxPort {
  return kind === 'none' ? createNoSandbox(options) : createBubblewrapSandbox(options);
}
