/** The agent programs that there is a profile of. */
export const programNames = ['builtin', 'opencode', 'claude', 'codex', 'gemini', 'custom'] as const;
export type ProgramName = (typeof programNames)[number];

export type ModelVendor = 'anthropic' | 'openai' | 'google';

/** Whose models a program can use. */
export const programVendors: Readonly<Record<ProgramName, readonly ModelVendor[]>> = {
  builtin: ['anthropic', 'openai'],
  opencode: ['anthropic', 'openai'],
  claude: ['anthropic'],
  codex: ['openai'],
  gemini: ['google'],
  custom: ['anthropic', 'openai', 'google'],
};

export interface ModelId {
  vendor: ModelVendor;
  /** As the vendor's API calls it. */
  name: string;
}

const prefixed = /^(openai|google|anthropic)\/(.+)$/;

/** An agent's model: `openai/<name>`, `google/<name>`, and everything else at Anthropic. */
export function parseModelId(id: string): ModelId {
  const [, vendor, name] = prefixed.exec(id) ?? [];
  return vendor !== undefined && name !== undefined
    ? { vendor: vendor as ModelVendor, name }
    : { vendor: 'anthropic', name: id };
}

const vendorIds: Readonly<Record<ModelVendor, string>> = {
  anthropic: "Anthropic's (as claude-sonnet-4-5)",
  openai: "OpenAI's (as openai/gpt-5.1)",
  google: "Google's (as google/gemini-2.5-pro)",
};

/** What is wrong with running this model by this program, in a sentence; undefined when nothing is. */
export function programProblem(
  program: ProgramName,
  model: string,
  command: readonly string[] | null | undefined,
): string | undefined {
  const hasCommand = command !== null && command !== undefined;
  if (program === 'custom' && !hasCommand) {
    return 'program_command: is required for the program custom: the command that speaks ACP on its standard output.';
  }
  if (program !== 'custom' && hasCommand) {
    return `program_command: is for the program custom only; ${program} has its own.`;
  }
  const vendors = programVendors[program];
  if (vendors.includes(parseModelId(model).vendor)) return undefined;
  return `model: ${program} cannot use ${model}; its models are ${vendors.map((vendor) => vendorIds[vendor]).join(' or ')}.`;
}
