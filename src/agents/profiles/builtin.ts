import { inside } from '../../sandbox/inside.ts';
import type { AgentProfile } from './profile.ts';

/** Where the bundle of our own program is mounted. */
export const builtinFolder = `${inside.programs}/agent`;

/** The agent program of our own, bundled to one file. It keeps its memory in `~/.tagalong`. */
export const builtin: AgentProfile = {
  name: 'builtin',
  start: () => ({ command: [inside.node, `${builtinFolder}/agent.mjs`], env: {} }),
};
