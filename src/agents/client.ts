import {
  type ClientConnection,
  client,
  type NewSessionRequest,
  PROTOCOL_VERSION,
  RequestError,
} from '@agentclientprotocol/sdk';
import { promptFailure, startFailure } from './failure.ts';
import {
  type AgentConnection,
  AgentError,
  type AgentUpdate,
  type ConnectInput,
  type PromptResult,
} from './program.ts';
import { createTurnUpdates, type TurnUpdates } from './updates.ts';
import { openWire } from './wire.ts';

const defaultStartTimeoutMs = 30_000;
const maxIdChars = 500;

const stopReasons: readonly PromptResult['stopReason'][] = [
  'end_turn',
  'max_tokens',
  'max_turn_requests',
  'refusal',
  'cancelled',
];

/**
 * Starts a conversation with an agent program over ACP v1, or loads the one that it still has. We offer it neither
 * files nor terminals, which would be ours and outside, and allow what it asks once: sandbox and gate are the boundary.
 * Throws AgentError: `start_failed`, `protocol`, `died`, `flood`.
 */
export async function connectAgent(input: ConnectInput): Promise<AgentConnection> {
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => {});
  let conversation: string | undefined;
  let turn: TurnUpdates | undefined;
  let connection: ClientConnection | undefined;
  const breakOff = (error: AgentError) => {
    broken.reject(error);
    connection?.close(error);
  };

  const stream = openWire({
    stdin: input.stdin,
    stdout: input.stdout,
    onEnd: breakOff,
    onUpdate(params) {
      const { sessionId, update } = (params ?? {}) as { sessionId?: unknown; update?: unknown };
      // Without a running turn it is history that is replayed, or talk that belongs to nothing.
      if (conversation !== undefined && sessionId === conversation) turn?.push(update);
    },
  });
  connection = client({ name: 'tagalong' })
    .onRequest(
      'session/request_permission',
      (params) => params,
      ({ params }) => ({ outcome: allowOnce(params) }),
    )
    .onNotification('*', () => {})
    .connect(stream);
  const { agent } = connection;
  const ask = <T>(answer: Promise<T>): Promise<T> => Promise.race([answer, broken.promise]);

  const timeoutMs = input.startTimeoutMs ?? defaultStartTimeoutMs;
  const timer = setTimeout(
    () =>
      breakOff(
        new AgentError('start_failed', `The agent program was not ready within ${timeoutMs / 1000} s.`),
      ),
    timeoutMs,
  );
  let resumed = false;
  let programSessionId: string;
  try {
    const hello = await ask(
      agent.request('initialize', {
        protocolVersion: PROTOCOL_VERSION,
        // What it would only say in passing comes as notices then, and not as its answer.
        clientCapabilities: { session: { notices: {} } },
        clientInfo: { name: 'tagalong', version: '1' },
      }),
    ).catch((error): never => {
      throw startFailure(error, 'to begin');
    });
    if (hello.protocolVersion !== PROTOCOL_VERSION) {
      throw new AgentError(
        'protocol',
        `The agent program speaks version ${Number(hello.protocolVersion)} of ACP; it has to be ${PROTOCOL_VERSION}.`,
      );
    }
    if (input.mcpServers.length > 0 && !hello.agentCapabilities?.mcpCapabilities?.http) {
      throw new AgentError(
        'start_failed',
        'The agent program cannot use MCP servers over HTTP, which its tools are.',
      );
    }
    const setting: NewSessionRequest = {
      cwd: input.cwd,
      mcpServers: input.mcpServers.map(({ name, url }) => ({
        type: 'http' as const,
        name,
        url,
        headers: [],
      })),
      ...systemPrompt(hello.agentCapabilities, input.instructions.system),
      _meta: { tagalong: { ...input.instructions } },
    };
    let modes: unknown;
    if (input.programSessionId !== undefined && hello.agentCapabilities?.loadSession) {
      resumed = await ask(
        agent.request('session/load', { ...setting, sessionId: input.programSessionId }),
      ).then(
        (answer) => {
          modes = answer?.modes;
          return true;
        },
        (error) => {
          // It may have lost it; then it starts anew.
          if (error instanceof RequestError) return false;
          throw error;
        },
      );
    }
    if (resumed && input.programSessionId !== undefined) programSessionId = input.programSessionId;
    else {
      const opened = await ask(agent.request('session/new', setting));
      programSessionId = sessionIdOf(opened);
      modes = opened.modes;
    }
    if (input.modeId !== undefined && hasOtherMode(modes, input.modeId)) {
      const mode = { sessionId: programSessionId, modeId: input.modeId };
      await ask(agent.request('session/set_mode', mode)).catch((error: unknown) => {
        // It stays in its own mode, and what it asks is allowed once each time.
        if (!(error instanceof RequestError)) throw error;
      });
    }
    conversation = programSessionId;
  } catch (error) {
    const failure = startFailure(error, 'the conversation');
    breakOff(failure);
    throw failure;
  } finally {
    clearTimeout(timer);
  }

  return {
    programSessionId,
    resumed,
    async prompt(text: string, onUpdate: (update: AgentUpdate) => void) {
      if (turn) throw new Error('This conversation has a running turn already.');
      turn = createTurnUpdates(
        onUpdate,
        input.mcpServers.map((server) => server.name),
      );
      try {
        const answer = await ask(
          agent.request('session/prompt', {
            sessionId: programSessionId,
            prompt: [{ type: 'text', text }],
          }),
        );
        const stopReason = stopReasons.find((known) => known === answer.stopReason) ?? 'end_turn';
        return { stopReason, finalMessage: turn.end((answer as { usage?: unknown }).usage) };
      } catch (error) {
        turn.end();
        throw promptFailure(error);
      } finally {
        turn = undefined;
      }
    },
    async cancel() {
      await agent.notify('session/cancel', { sessionId: programSessionId }).catch(() => {});
    },
    dispose: () => breakOff(new AgentError('died', 'The connection to the agent program was given up.')),
  };
}

/**
 * Instructions by the protocol's own field, where the program says that it takes them so. Not in v1 as it is published
 * yet; Claude Code's and Codex' adapters have it.
 */
function systemPrompt(capabilities: unknown, text: string): object {
  const { sessionCapabilities } = (capabilities ?? {}) as { sessionCapabilities?: Record<string, unknown> };
  if (text === '' || !sessionCapabilities?.systemPrompt) return {};
  return { systemPrompt: { mode: 'append', content: [{ type: 'text', text }] } };
}

function hasOtherMode(modes: unknown, wanted: string): boolean {
  const { currentModeId, availableModes } = (modes ?? {}) as {
    currentModeId?: unknown;
    availableModes?: unknown;
  };
  const known = Array.isArray(availableModes) && availableModes.some((mode) => mode?.id === wanted);
  return known && currentModeId !== wanted;
}

/** The library does not check answers; this one is stored. */
function sessionIdOf(answer: { sessionId: unknown }): string {
  const { sessionId } = answer;
  if (typeof sessionId === 'string' && sessionId !== '' && sessionId.length <= maxIdChars) return sessionId;
  throw new AgentError('protocol', 'The agent program gave the conversation no usable id.');
}

type PermissionOutcome = { outcome: 'selected'; optionId: string } | { outcome: 'cancelled' };

function allowOnce(params: unknown): PermissionOutcome {
  const options = (params as { options?: unknown } | undefined)?.options;
  for (const option of Array.isArray(options) ? options : []) {
    const { kind, optionId } = (option ?? {}) as { kind?: unknown; optionId?: unknown };
    if (kind === 'allow_once' && typeof optionId === 'string') return { outcome: 'selected', optionId };
  }
  return { outcome: 'cancelled' };
}
