/** What agent programs call the tool that runs a command: ours and OpenCode, Claude Code, Gemini, Codex. */
const shellNames = ['bash', 'run_shell_command', 'shell_command', 'exec_command', 'shell'];
/** And what they call its argument. */
const commandNames = ['command', 'cmd'];

interface OfferedTool {
  name: string;
  input_schema?: unknown;
}

interface Schema {
  type?: unknown;
  properties?: Record<string, Schema>;
  required?: unknown;
}

/** The call that runs a command, with whatever else the tool insists on. Undefined when no such tool is offered. */
export function shellCall(
  tools: readonly OfferedTool[],
  command: string,
): { name: string; input: Record<string, unknown> } | undefined {
  for (const known of shellNames) {
    const tool = tools.find(({ name }) => name.toLowerCase() === known);
    if (!tool) continue;
    const { properties = {}, required } = (tool.input_schema ?? {}) as Schema;
    const argument = commandNames.find((name) => properties[name]) ?? 'command';
    const isList = properties[argument]?.type === 'array';
    const input: Record<string, unknown> = { [argument]: isList ? ['bash', '-c', command] : command };
    for (const name of Array.isArray(required) ? (required as string[]) : []) {
      if (!(name in input) && properties[name]?.type === 'string') input[name] = 'Runs what was asked for';
    }
    return { name: tool.name, input };
  }
  return undefined;
}
