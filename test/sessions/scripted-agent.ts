import { PassThrough } from 'node:stream';
import pino from 'pino';
import type { AgentConnection, AgentUpdate, ConnectInput, PromptResult } from '../../src/agents/program.ts';
import { AgentError } from '../../src/agents/program.ts';
import type { Sandbox, SandboxEnd, SandboxPort } from '../../src/sandbox/sandbox.ts';
import { LiveSessions } from '../../src/sessions/live.ts';
import type { EgressControl } from '../../src/vault/egress/protocol.ts';

export interface ScriptedTurn {
  text: string;
  input: ConnectInput;
  update(update: AgentUpdate): void;
  cancelled: Promise<void>;
  die(reason: string): void;
}

/** What the program does with a prompt: resolves with its final message, or throws. */
export type Script = (turn: ScriptedTurn) => Promise<string>;

export interface ScriptedAgents {
  live: LiveSessions;
  opened: string[];
  closed: string[];
}

/**
 * Agent programs that follow a script, behind the real `LiveSessions`: for what the engine does with programs, not for
 * what programs do. The real ones run in the tests of `agents/` and in the acceptance tests.
 */
export function scriptedAgents(
  script: Script,
  options: { idleMs?: number; maxLive?: number } = {},
): ScriptedAgents {
  const opened: string[] = [];
  const closed: string[] = [];
  const deaths = new WeakMap<object, (end: SandboxEnd) => void>();
  const sandbox: SandboxPort = {
    async open(spec): Promise<Sandbox> {
      opened.push(spec.sessionId);
      const ended = Promise.withResolvers<SandboxEnd>();
      const stdin = new PassThrough();
      deaths.set(stdin, ended.resolve);
      return {
        stdin,
        stdout: new PassThrough(),
        stderr: new PassThrough(),
        workspace: '/workspace',
        enforced: {
          adapter: 'none',
          uid: 'shared',
          memory: 'none',
          processes: 'none',
          processors: 'none',
          seccomp: false,
          workspace: 'none',
          temporary: 'none',
        },
        listeners: [],
        pid: 0,
        closed: ended.promise,
        async close() {
          closed.push(spec.sessionId);
          const end = { code: 0, signal: null, reason: 'closed' };
          ended.resolve(end);
          return end;
        },
      };
    },
    check: () => Promise.reject(new Error('not used')),
    close: async () => {},
  };
  const egress = {
    openSession: async () => ({ caCertificatePem: 'pem' }),
    addListener: async () => {},
    closeSession: async () => {},
  } as unknown as EgressControl;

  const connectAgent = async (input: ConnectInput): Promise<AgentConnection> => {
    let cancel = () => {};
    const resumed = input.programSessionId !== undefined;
    let reject = (_: Error) => {};
    return {
      programSessionId: input.programSessionId ?? `program-${opened.length}`,
      resumed,
      async prompt(text, onUpdate): Promise<PromptResult> {
        const cancelled = Promise.withResolvers<void>();
        cancel = () => cancelled.resolve();
        const disposed = new Promise<never>((_, fail) => {
          reject = fail;
        });
        const run = script({
          text,
          input,
          update: onUpdate,
          cancelled: cancelled.promise,
          die: (reason) => deaths.get(input.stdin)?.({ code: 1, signal: null, reason }),
        }).then((finalMessage): PromptResult => ({ stopReason: 'end_turn', finalMessage }));
        const stopped = cancelled.promise.then(
          (): PromptResult => ({ stopReason: 'cancelled', finalMessage: '' }),
        );
        return Promise.race([run, stopped, disposed]);
      },
      async cancel() {
        cancel();
      },
      dispose() {
        reject(new AgentError('died', 'disposed'));
      },
    };
  };

  const live = new LiveSessions({
    sandbox,
    egress,
    connectAgent,
    openProgram: async () => ({ name: 'scripted', command: ['scripted'], mounts: [], env: {}, files: {} }),
    logger: pino({ level: 'silent' }),
    limits: { memoryBytes: 1, maxProcesses: 1, maxFileBytes: 1, maxOpenFiles: 1 },
    idleMs: options.idleMs ?? 60_000,
    maxLive: options.maxLive ?? 4,
  });
  return { live, opened, closed };
}
