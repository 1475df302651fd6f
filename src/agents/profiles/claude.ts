import { loopbackNames } from '../../sandbox/environment.ts';
import { inside } from '../../sandbox/inside.ts';
import { type AgentProfile, placeholderKey } from './profile.ts';

/** Claude Code, by the adapter of its Agent SDK. It keeps its memory in `~/.claude`. */
export const claude: AgentProfile = {
  name: 'claude',
  package: { name: '@agentclientprotocol/claude-agent-acp', version: '0.100.0', lock: 'claude.json' },
  startTimeoutMs: 60_000,
  start: ({ folder, model }) => ({
    command: [inside.node, `${folder}/node_modules/@agentclientprotocol/claude-agent-acp/dist/index.js`],
    env: {
      NO_PROXY: loopbackNames,
      ANTHROPIC_API_KEY: placeholderKey,
      ANTHROPIC_MODEL: model.name,
      ANTHROPIC_SMALL_FAST_MODEL: model.name,
      ANTHROPIC_DEFAULT_HAIKU_MODEL: model.name,
      DISABLE_AUTOUPDATER: '1',
      DISABLE_TELEMETRY: '1',
      DISABLE_ERROR_REPORTING: '1',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      IS_SANDBOX: '1',
    },
    modeId: 'bypassPermissions',
  }),
};
