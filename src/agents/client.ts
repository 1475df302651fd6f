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
        clientCapabilities: {},
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
      _meta: { tagalong: { ...input.instructions } },
    };
    if (input.programSessionId !== undefined && hello.agentCapabilities?.loadSession) {
      resumed = await ask(
        agent.request('session/load', { ...setting, sessionId: input.programSessionId }),
      ).then(
        () => true,
        (error) => {
          // It may have lost it; then it starts anew.
          if (error instanceof RequestError) return false;
          throw error;
        },
      );
    }
    programSessionId =
      resumed && input.programSessionId !== undefined
        ? input.programSessionId
        : sessionIdOf(await ask(agent.request('session/new', setting)));
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
      turn = createTurnUpdates(onUpdate);
      try {
        const answer = await ask(
          agent.request('session/prompt', {
            sessionId: programSessionId,
            prompt: [{ type: 'text', text }],
          }),
        );
        const stopReason = stopReasons.find((known) => known === answer.stopReason) ?? 'end_turn';
        return { stopReason, finalMessage: turn.end() };
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
