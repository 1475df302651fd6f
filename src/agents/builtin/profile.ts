import { inside } from '../../sandbox/inside.ts';
import { placeRuntime, type RuntimeOptions } from '../../sandbox/runtime.ts';
import type { Home } from '../../store/home.ts';
import type { AgentProgram } from '../program.ts';

const folder = `${inside.programs}/agent`;

/**
 * How the agent program of our own is started. Places its bundle into the home where that is not done yet.
 * Throws SandboxError `start_failed` when the bundle was never made.
 */
export function builtinProgram(home: Home, options: RuntimeOptions = {}): AgentProgram {
  const { agentFolder } = placeRuntime(home, options);
  return {
    name: 'tagalong',
    command: [inside.node, `${folder}/agent.mjs`],
    mounts: [{ from: agentFolder, to: folder }],
    env: {},
  };
}
