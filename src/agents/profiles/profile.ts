import type { ModelId, ProgramName } from './names.ts';

/** A program that comes from the npm registry. */
export interface ProgramPackage {
  name: string;
  /** Exact. */
  version: string;
  /** File in `locks/` that pins what it depends on. */
  lock?: string;
}

export interface ProfileInput {
  /** Where its package is mounted; empty for a program without one. */
  folder: string;
  /** The packages that npm put there; of the optional ones those of this machine. */
  packages: readonly string[];
  model: ModelId;
  system: string;
  /** For the program `custom`. */
  command: readonly string[];
}

/** How one conversation's program is started. */
export interface ProgramStart {
  /** Absolute path inside and arguments. */
  command: readonly string[];
  env: Readonly<Record<string, string>>;
  /** Settings, read-only in `inside.settings` under these names. */
  files?: Readonly<Record<string, string>>;
  /** The mode to put the conversation into, where the program has it. */
  modeId?: string;
}

/** All that we know of one agent program. */
export interface AgentProfile {
  name: ProgramName;
  package?: ProgramPackage;
  /** Loading it takes longer than ours. */
  startTimeoutMs?: number;
  /** Pure. */
  start(input: ProfileInput): ProgramStart;
}

/** Stands where a key goes that a program insists on; the egress process takes it off and puts the real one on. */
export const placeholderKey = 'placeholder';
