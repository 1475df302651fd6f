import { loopbackNames } from '../../sandbox/environment.ts';
import { inside } from '../../sandbox/inside.ts';
import { type AgentProfile, placeholderKey } from './profile.ts';

const providerId = 'tagalong';

/** Codex, by its adapter. It keeps its memory in `~/.codex`. */
export const codex: AgentProfile = {
  name: 'codex',
  package: { name: '@agentclientprotocol/codex-acp', version: '2.6.0', lock: 'codex.json' },
  startTimeoutMs: 60_000,
  start: ({ folder, model }) => ({
    command: [inside.node, `${folder}/node_modules/@agentclientprotocol/codex-acp/dist/index.js`],
    env: {
      NO_PROXY: loopbackNames,
      OPENAI_API_KEY: placeholderKey,
      NO_BROWSER: '1',
      INITIAL_AGENT_MODE: 'agent-full-access',
      MODEL_PROVIDER: providerId,
      CODEX_CA_CERTIFICATE: inside.caBundle,
      CODEX_CONFIG: JSON.stringify({
        model: model.name,
        model_provider: providerId,
        model_providers: {
          [providerId]: {
            name: 'OpenAI',
            base_url: 'https://api.openai.com/v1',
            env_key: 'OPENAI_API_KEY',
            wire_api: 'responses',
            requires_openai_auth: false,
            supports_websockets: false,
          },
        },
        // The sandbox and the gate are the boundary.
        approval_policy: 'never',
        sandbox_mode: 'danger-full-access',
        // Would run at the vendor.
        web_search: 'disabled',
        check_for_update_on_startup: false,
        analytics: { enabled: false },
        feedback: { enabled: false },
        otel: { exporter: 'none' },
      }),
    },
  }),
};
