import { inside } from '../../sandbox/inside.ts';
import { placeRuntime, type RuntimeOptions } from '../../sandbox/runtime.ts';
import type { Home } from '../../store/home.ts';
import { AgentError, type AgentProgram } from '../program.ts';
import { builtin, builtinFolder } from './builtin.ts';
import { claude } from './claude.ts';
import { codex } from './codex.ts';
import { custom } from './custom.ts';
import { gemini } from './gemini.ts';
import type { Installer, InstallProgress } from './install.ts';
import { type ModelVendor, type ProgramName, parseModelId } from './names.ts';
import { opencode } from './opencode.ts';
import type { AgentProfile } from './profile.ts';

export const profiles: Readonly<Record<ProgramName, AgentProfile>> = {
  builtin,
  opencode,
  claude,
  codex,
  gemini,
  custom,
};

/** What an agent says of the program that runs it. */
export interface ProgramChoice {
  program: string;
  /** For `custom`. */
  command: readonly string[] | null;
  model: string;
  system: string;
}

/** Makes a program ready to be started: installs it when that was not done yet. Throws AgentError `start_failed`. */
export type OpenProgram = (
  choice: ProgramChoice,
  onProgress: (progress: InstallProgress) => void,
) => Promise<AgentProgram>;

export interface ProgramsOptions extends RuntimeOptions {
  home: Home;
  install: Installer;
  /** The vendors of which a key is configured. */
  vendors: readonly ModelVendor[];
  /** A folder of the operator's with programs for `custom`, read-only at `/opt/tagalong/custom` inside. */
  customFolder?: string | undefined;
}

const vendorSettings: Readonly<Record<ModelVendor, string>> = {
  anthropic: 'ANTHROPIC_API_KEY',
  openai: 'OPENAI_API_KEY',
  google: 'GEMINI_API_KEY',
};
const packageFolder = `${inside.programs}/program`;

/** The agent programs of this installation, by the names that agents choose them by. */
export function createPrograms(options: ProgramsOptions): OpenProgram {
  const { home, install, customFolder } = options;
  return async (choice, onProgress) => {
    const profile = profiles[choice.program as ProgramName] as AgentProfile | undefined;
    if (!profile) throw new AgentError('start_failed', `There is no agent program ${choice.program} here.`);
    const model = parseModelId(choice.model);
    if (profile.name !== 'custom' && !options.vendors.includes(model.vendor)) {
      throw new AgentError(
        'start_failed',
        `No key for the model ${choice.model} is configured; ${vendorSettings[model.vendor]} sets it.`,
      );
    }
    const installed = profile.package && (await install(profile.package, onProgress));
    const start = profile.start({
      folder: packageFolder,
      packages: installed?.packages ?? [],
      model,
      system: choice.system,
      command: choice.command ?? [],
    });
    const mounts = installed ? [{ from: installed.folder, to: packageFolder }] : ownMounts(profile.name);
    return {
      name: profile.name,
      files: {},
      ...start,
      mounts,
      ...(profile.startTimeoutMs === undefined ? {} : { startTimeoutMs: profile.startTimeoutMs }),
    };
  };

  function ownMounts(name: ProgramName): AgentProgram['mounts'] {
    const { agentFolder, sdkFolder } = placeRuntime(home, options);
    if (name === 'builtin') return [{ from: agentFolder, to: builtinFolder }];
    return [
      { from: sdkFolder, to: `${inside.programs}/node_modules/tagalong` },
      ...(customFolder === undefined ? [] : [{ from: customFolder, to: `${inside.programs}/custom` }]),
    ];
  }
}
