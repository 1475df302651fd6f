import { inside } from '../../sandbox/inside.ts';
import { type AgentProfile, placeholderKey } from './profile.ts';

const instructionsFile = 'AGENTS.md';

/** Any command inside that speaks ACP. What it is to be, it finds in `_meta.tagalong` and in these variables. */
export const custom: AgentProfile = {
  name: 'custom',
  start: ({ command, model, system }) => ({
    command: absolute(command),
    env: {
      ANTHROPIC_API_KEY: placeholderKey,
      OPENAI_API_KEY: placeholderKey,
      GEMINI_API_KEY: placeholderKey,
      TAGALONG_MODEL_VENDOR: model.vendor,
      TAGALONG_MODEL: model.name,
      TAGALONG_INSTRUCTIONS: `${inside.settings}/${instructionsFile}`,
    },
    files: { [instructionsFile]: system },
  }),
};

/** `env` looks the program up in the sandbox's own PATH. */
function absolute(command: readonly string[]): string[] {
  return command[0]?.startsWith('/') ? [...command] : ['/usr/bin/env', ...command];
}
