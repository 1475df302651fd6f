import { cleanUp, eventually, startServer, type TestServer } from '../test/acceptance/server.ts';
import { agentMessages, postInSlack, stateOf } from '../test/acceptance/workplace-state.ts';
import { median, type Row } from './table.ts';

interface EgressRow {
  at: string;
  host: string;
  path: string;
  duration_ms: number;
}

interface DeliveryRow {
  received_at: string;
  outcome: { kind: string };
}

interface Latencies {
  presence: number[];
  model: number[];
  reply: number[];
}

const setStatus = '/api/assistant.threads.setStatus';
const postMessage = '/api/chat.postMessage';
const messages = '/v1/messages';

/**
 * From a stored mention to the first sign, to the first model request, and from the last model byte to the reply, on
 * the whole server with its real sandbox and the offline model, one mention at a time. `cold` starts a sandbox, `warm`
 * goes on in a thread whose sandbox is up. Times are those of the inbox's and the egress process's own records.
 */
export async function measureMentions(rounds: number): Promise<Row[]> {
  const server = await startServer();
  try {
    const { agent } = await stateOf(server);
    const mention = `${agent.slackHandle} hello`;
    await ask(server, mention);
    const cold: Latencies = { presence: [], model: [], reply: [] };
    const warm: Latencies = { presence: [], model: [], reply: [] };
    for (let round = 0; round < rounds; round++) {
      const thread = await ask(server, mention);
      await read(server, cold);
      await ask(server, mention, thread);
      await read(server, warm);
    }
    return [
      {
        what: 'mention → presence',
        numbers: { warm: milliseconds(warm.presence), cold: milliseconds(cold.presence) },
      },
      {
        what: 'mention → first model request',
        numbers: { warm: milliseconds(warm.model), cold: milliseconds(cold.model) },
      },
      {
        what: 'last model byte → reply at the provider',
        numbers: { warm: milliseconds(warm.reply), cold: milliseconds(cold.reply) },
      },
    ];
  } finally {
    await cleanUp(server);
  }
}

async function ask(server: TestServer, text: string, thread?: string): Promise<string> {
  const before = thread === undefined ? 0 : (await agentMessages(server, thread)).length;
  const ts = await postInSlack(server, text, thread);
  await eventually(async () => (await agentMessages(server, ts)).length > before, 'the answer');
  return ts;
}

/** The times of the mention that was just answered. */
async function read(server: TestServer, into: Latencies): Promise<void> {
  const [received, rows] = await eventually(async () => {
    const { data } = await server.api<{ data: DeliveryRow[] }>('/v1/deliveries?limit=10&outcome=routed');
    const at = Date.parse(data[0]?.received_at ?? '');
    const { data: egress } = await server.api<{ data: EgressRow[] }>('/v1/egress_requests?limit=50');
    const since = egress.filter((row) => Date.parse(row.at) >= at).reverse();
    return since.some((row) => row.path === postMessage) && ([at, since] as const);
  }, 'the records');
  const first = (path: string) => rows.find((row) => row.path === path);
  const presence = first(setStatus);
  const model = first(messages);
  const lastModel = rows.findLast((row) => row.path === messages);
  const reply = first(postMessage);
  if (!presence || !model || !lastModel || !reply) throw new Error('A record is missing.');
  into.presence.push(Date.parse(presence.at) - received);
  into.model.push(Date.parse(model.at) - received);
  into.reply.push(Date.parse(reply.at) - Date.parse(lastModel.at) - lastModel.duration_ms);
}

const milliseconds = (values: readonly number[]): string => `${median(values)} ms`;
