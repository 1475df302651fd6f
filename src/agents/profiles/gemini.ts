import { loopbackNames } from '../../sandbox/environment.ts';
import { inside } from '../../sandbox/inside.ts';
import { type AgentProfile, placeholderKey } from './profile.ts';

const instructionsFile = 'GEMINI.md';
const extensionFile = 'gemini-extension.json';
const settingsFile = 'gemini.json';

/**
 * It takes instructions as an extension's, from its own home only; the `GEMINI.md` beside it is what it writes its
 * memory into itself.
 */
const begin = [
  'd="$HOME/.gemini/extensions/tagalong"',
  `mkdir -p "$d" && cp -f ${inside.settings}/${instructionsFile} ${inside.settings}/${extensionFile} "$d"`,
  'exec "$0" "$@"',
].join('; ');

/** Gemini CLI. It keeps its memory in `~/.gemini`. */
export const gemini: AgentProfile = {
  name: 'gemini',
  package: { name: '@google/gemini-cli', version: '0.61.0', lock: 'gemini.json' },
  startTimeoutMs: 60_000,
  start: ({ folder, model, system }) => ({
    command: [
      ...['/bin/sh', '-c', begin],
      ...[inside.node, `${folder}/node_modules/@google/gemini-cli/bundle/gemini.js`],
      ...['--acp', '--model', model.name],
    ],
    env: {
      NO_PROXY: loopbackNames,
      GEMINI_API_KEY: placeholderKey,
      GEMINI_CLI_SYSTEM_SETTINGS_PATH: `${inside.settings}/${settingsFile}`,
      GEMINI_CLI_NO_RELAUNCH: 'true',
    },
    files: {
      [instructionsFile]: system,
      [extensionFile]: JSON.stringify({
        name: 'tagalong',
        version: '1.0.0',
        contextFileName: instructionsFile,
      }),
      [settingsFile]: JSON.stringify({
        general: { disableAutoUpdate: true, disableUpdateNag: true, checkpointing: { enabled: false } },
        privacy: { usageStatisticsEnabled: false },
        telemetry: { enabled: false },
        security: { auth: { selectedType: 'gemini-api-key' }, folderTrust: { enabled: false } },
      }),
    },
    modeId: 'yolo',
  }),
};
