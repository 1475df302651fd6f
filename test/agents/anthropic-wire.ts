import type { IncomingMessage, ServerResponse } from 'node:http';

/** What the model is to say in answer to one request. */
export type ModelAnswer =
  | { say?: string; think?: string; call?: { name: string; input: unknown }[]; stop?: string }
  | { status: number; type?: string; message?: string; headers?: Record<string, string> }
  /** Says the beginning and then nothing, until `release` resolves. */
  | { say: string; hang: Promise<void> }
  /** Breaks off with an error event after the text, if there is any. */
  | { say?: string; breakOff: string }
  /** The connection ends in the middle of the answer. */
  | { say: string; cut: true };

export interface ModelRequest {
  model: string;
  system: unknown;
  messages: { role: string; content: string | { type: string; [key: string]: unknown }[] }[];
  tools?: { name: string; description: string; input_schema: unknown }[];
  [key: string]: unknown;
}

/** A scripted model that speaks the Anthropic Messages streaming wire. Answers are taken in order. */
export class ScriptedModel {
  readonly requests: ModelRequest[] = [];
  readonly headers: IncomingMessage['headers'][] = [];
  answers: (ModelAnswer | ((request: ModelRequest) => ModelAnswer))[] = [];

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as ModelRequest;
    this.requests.push(body);
    this.headers.push(request.headers);
    const next = this.answers.shift() ?? { say: 'nothing is scripted' };
    const answer = typeof next === 'function' ? next(body) : next;
    if ('status' in answer) {
      response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
      const error = { type: answer.type ?? 'api_error', message: answer.message ?? 'failed' };
      response.end(JSON.stringify({ type: 'error', error }));
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const send = (event: { type: string; [key: string]: unknown }) =>
      response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    const usage = { input_tokens: 11, output_tokens: 1 };
    send({
      type: 'message_start',
      message: {
        id: `msg_${this.requests.length}`,
        type: 'message',
        role: 'assistant',
        model: body.model,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage,
      },
    });
    let index = 0;
    const block = (start: object, deltas: object[]) => {
      send({ type: 'content_block_start', index, content_block: start });
      for (const delta of deltas) send({ type: 'content_block_delta', index, delta });
      send({ type: 'content_block_stop', index });
      index += 1;
    };
    if ('think' in answer && answer.think) {
      block({ type: 'thinking', thinking: '' }, [
        { type: 'thinking_delta', thinking: answer.think },
        { type: 'signature_delta', signature: 'c2ln' },
      ]);
    }
    if (answer.say) {
      // Two pieces, as it comes in life.
      const middle = Math.ceil(answer.say.length / 2);
      const deltas = [answer.say.slice(0, middle), answer.say.slice(middle)];
      block(
        { type: 'text', text: '' },
        deltas.map((text) => ({ type: 'text_delta', text })),
      );
    }
    if ('hang' in answer) await answer.hang;
    if ('cut' in answer) return void response.socket?.end();
    if ('breakOff' in answer) {
      send({ type: 'error', error: { type: answer.breakOff, message: 'broke off' } });
      response.end();
      return;
    }
    const calls = 'call' in answer ? (answer.call ?? []) : [];
    for (const [n, { name, input }] of calls.entries()) {
      block({ type: 'tool_use', id: `toolu_${this.requests.length}_${n}`, name, input: {} }, [
        { type: 'input_json_delta', partial_json: JSON.stringify(input) },
      ]);
    }
    const stop = 'stop' in answer ? answer.stop : undefined;
    send({
      type: 'message_delta',
      delta: { stop_reason: stop ?? (calls.length > 0 ? 'tool_use' : 'end_turn'), stop_sequence: null },
      usage: { output_tokens: 7 },
    });
    send({ type: 'message_stop' });
    response.end();
  }
}

/** All text and tool results of a request's messages, to look for something in. */
export const flatten = (request: ModelRequest | undefined): string => JSON.stringify(request?.messages ?? []);
