import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { eventually } from './server.ts';

const entry = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** A command that runs, as an operator has it in a terminal. */
export interface RunningCommand {
  output(): string;
  /** Waits for something that it prints. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
  type(line: string): void;
  /** Its exit code, when it has ended. */
  ended: Promise<number | null>;
  /** Ends it as Ctrl-C does. */
  interrupt(): Promise<void>;
}

/** Starts `tagalong …` in the environment of an operator whose server has this home and port. */
export function startCommand(given: string[], where: { home: string; port: string }): RunningCommand {
  const child: ChildProcess = spawn(process.execPath, [entry, ...given], {
    env: {
      PATH: process.env.PATH ?? '',
      HOME: process.env.HOME ?? '/',
      TAGALONG_HOME: where.home,
      PORT: where.port,
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  const read = (chunk: Buffer) => {
    output += chunk.toString();
  };
  child.stdout?.on('data', read);
  child.stderr?.on('data', read);
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  return {
    output: () => output,
    says: (pattern) =>
      eventually(
        async () => pattern.exec(output) ?? undefined,
        () => `${pattern} in:\n${output}`,
      ),
    type: (line) => void child.stdin?.write(`${line}\n`),
    ended,
    async interrupt() {
      child.kill('SIGINT');
      await ended;
    },
  };
}
