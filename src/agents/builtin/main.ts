/**
 * The agent program of our own: speaks ACP on stdio, runs inside the sandbox. Bundled to one file. What is heavy is
 * loaded after `initialize` was answered.
 */
import { randomBytes } from 'node:crypto';
import { homedir } from 'node:os';
import { Readable, Writable } from 'node:stream';
import {
  agent,
  ndJsonStream,
  PROTOCOL_VERSION,
  RequestError,
  type SessionUpdate,
} from '@agentclientprotocol/sdk';
import { type Conversation, openConversation, transcriptFolder, warmUp } from './conversation.ts';
import { replay } from './replay.ts';
import { createTranscript, DiskFullError, loadTranscript, type Transcript } from './transcript.ts';

// The protocol has standard output to itself.
globalThis.console = new console.Console(process.stderr, process.stderr);
(globalThis as { AI_SDK_LOG_WARNINGS?: boolean }).AI_SDK_LOG_WARNINGS = false;

const folder = transcriptFolder(homedir());
const conversations = new Map<string, Conversation>();

interface Opening {
  cwd: string;
  mcpServers: readonly unknown[];
  _meta?: Record<string, unknown> | null | undefined;
}

function open(transcript: Transcript, id: string, params: Opening): void {
  const { system, model } = (params._meta?.tagalong ?? {}) as { system?: unknown; model?: unknown };
  if (typeof model !== 'string' || model === '') {
    throw RequestError.invalidParams(undefined, 'the model is missing: it belongs into _meta.tagalong.model');
  }
  const mcpServers = params.mcpServers.flatMap((server) => {
    const { type, name, url, headers } = server as Record<string, unknown>;
    if (type !== 'http' || typeof name !== 'string' || typeof url !== 'string') return [];
    return [{ name, url, headers: (headers ?? []) as { name: string; value: string }[] }];
  });
  const settings = { cwd: params.cwd, system: typeof system === 'string' ? system : '', model, mcpServers };
  conversations.set(id, openConversation(transcript, settings));
}

function find(id: string): Conversation {
  const conversation = conversations.get(id);
  if (!conversation) throw RequestError.resourceNotFound(id);
  return conversation;
}

const connection = agent({ name: 'tagalong-agent' })
  .onRequest('initialize', () => {
    setImmediate(warmUp);
    return {
      protocolVersion: PROTOCOL_VERSION,
      agentCapabilities: { loadSession: true, mcpCapabilities: { http: true } },
      agentInfo: { name: 'tagalong-agent', version: '1' },
    };
  })
  .onRequest('session/new', ({ params }) => {
    const sessionId = `conv_${randomBytes(12).toString('hex')}`;
    open(createTranscript(folder, sessionId), sessionId, params);
    return { sessionId };
  })
  .onRequest('session/load', async ({ params, client }) => {
    const transcript = loadTranscript(folder, params.sessionId);
    if (!transcript) throw RequestError.resourceNotFound(params.sessionId);
    open(transcript, params.sessionId, params);
    for (const update of replay(transcript.messages)) {
      await client.notify('session/update', { sessionId: params.sessionId, update });
    }
    return {};
  })
  .onRequest('session/prompt', async ({ params, client }) => {
    const { sessionId } = params;
    // Sent in order; the answer to the prompt is queued behind them.
    const update = (value: SessionUpdate) =>
      void client.notify('session/update', { sessionId, update: value });
    try {
      return { stopReason: await find(sessionId).prompt(params.prompt, update) };
    } catch (error) {
      if (error instanceof RequestError) throw error;
      if (error instanceof Error && error.name === 'ModelError') {
        throw new RequestError(-32001, error.message, { tagalong: 'model_failed' });
      }
      if (error instanceof DiskFullError)
        throw new RequestError(-32002, error.message, { tagalong: 'disk_full' });
      console.error(error);
      throw RequestError.internalError({ details: error instanceof Error ? error.message : String(error) });
    }
  })
  .onNotification('session/cancel', ({ params }) => conversations.get(params.sessionId)?.cancel())
  .connect(
    ndJsonStream(
      Writable.toWeb(process.stdout) as WritableStream<Uint8Array>,
      Readable.toWeb(process.stdin) as unknown as ReadableStream<Uint8Array>,
    ),
  );

// Who speaks to us is gone: so are we, with what we started.
connection.closed.then(() => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
