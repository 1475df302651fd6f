import { loopbackNames } from '../../sandbox/environment.ts';
import { inside } from '../../sandbox/inside.ts';
import { AgentError } from '../program.ts';
import type { ModelId } from './names.ts';
import { type AgentProfile, placeholderKey } from './profile.ts';

const instructionsFile = 'AGENTS.md';
const configFile = 'opencode.json';

/** OpenCode, whose binary comes as a package per platform. It keeps its memory in `~/.local/share/opencode`. */
export const opencode: AgentProfile = {
  name: 'opencode',
  package: { name: 'opencode-ai', version: '1.18.33' },
  startTimeoutMs: 60_000,
  start: ({ folder, packages, model, system }) => ({
    command: [
      `${folder}/node_modules/${binaryPackage(packages)}/bin/opencode`,
      'acp',
      '--cwd',
      inside.workspace,
    ],
    env: {
      NO_PROXY: loopbackNames,
      OPENCODE_CONFIG: `${inside.settings}/${configFile}`,
      // What it would fetch or send by itself is refused anyway; this spares it the waiting.
      OPENCODE_DISABLE_AUTOUPDATE: '1',
      OPENCODE_DISABLE_MODELS_FETCH: '1',
      OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
      OPENCODE_DISABLE_SHARE: '1',
      OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
    },
    files: {
      [instructionsFile]: system,
      [configFile]: JSON.stringify(config(model), null, 2),
    },
  }),
};

/** Of the builds that npm found fit for this machine the plain one: `-baseline` is for processors without AVX2. */
function binaryPackage(packages: readonly string[]): string {
  const builds = packages.filter((name) => /^opencode-(linux|darwin)-/.test(name));
  const best = builds.sort((a, b) => a.length - b.length)[0];
  if (best !== undefined) return best;
  throw new AgentError('start_failed', 'OpenCode has no build for this machine in the npm registry.');
}

/** OpenAI by the wire that all compatible servers speak, Anthropic by its own. */
function config(model: ModelId) {
  const provider =
    model.vendor === 'openai'
      ? {
          id: 'openai-compatible',
          settings: {
            npm: '@ai-sdk/openai-compatible',
            name: 'OpenAI',
            options: { baseURL: 'https://api.openai.com/v1', apiKey: placeholderKey },
          },
        }
      : {
          id: 'anthropic',
          settings: { options: { baseURL: 'https://api.anthropic.com/v1', apiKey: placeholderKey } },
        };
  const name = `${provider.id}/${model.name}`;
  return {
    $schema: 'https://opencode.ai/config.json',
    autoupdate: false,
    share: 'disabled',
    model: name,
    small_model: name,
    enabled_providers: [provider.id],
    provider: { [provider.id]: { ...provider.settings, models: { [model.name]: { name: model.name } } } },
    instructions: [`${inside.settings}/${instructionsFile}`],
    permission: { '*': 'allow' },
  };
}
