import { createHmac } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { answerOrders } from './orders.ts';
import { quantile } from './table.ts';

/** One run of the load generator: signed Slack deliveries, each new, over so many connections, one after the other. */
export interface LoadOrder {
  port: number;
  path: string;
  secret: string;
  connections: number;
  durationMs: number;
  maxDeliveries: number;
  /** Sends at this steady rate, whatever the answers take, as far as the connections suffice; else as fast as it can. */
  perSecond?: number;
}

export interface LoadResult {
  acknowledged: number;
  refused: number;
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
}

/** Bodies of the size and shape that Slack sends for a mention. Signed before the clock starts. */
export function signedDeliveries(order: LoadOrder, now: Date): Buffer[] {
  const timestamp = Math.floor(now.getTime() / 1000);
  const run = `${process.pid.toString(36)}${now.getTime().toString(36)}`;
  return Array.from({ length: order.maxDeliveries }, (_, number) => {
    const text = `<@U0LAN0Z89> look at number ${number}, please: ${'the build is red again '.repeat(12)}`;
    const body = JSON.stringify({
      token: 'unused',
      team_id: 'T061EG9R6',
      api_app_id: 'A0MDYCDME',
      event: {
        type: 'app_mention',
        user: 'U061F7AUR',
        text,
        ts: `${timestamp}.${number}`,
        channel: 'C0LAN2Q65',
        event_ts: `${timestamp}.${number}`,
        blocks: [
          {
            type: 'rich_text',
            elements: [{ type: 'rich_text_section', elements: [{ type: 'text', text }] }],
          },
        ],
      },
      type: 'event_callback',
      event_id: `Ev${run}${number}`,
      event_time: timestamp,
      authorizations: [{ enterprise_id: null, team_id: 'T061EG9R6', user_id: 'U0LAN0Z89', is_bot: true }],
    });
    const signature = createHmac('sha256', order.secret).update(`v0:${timestamp}:${body}`).digest('hex');
    return Buffer.from(
      `POST ${order.path} HTTP/1.1\r\nhost: 127.0.0.1:${order.port}\r\nuser-agent: Slackbot 1.0\r\n` +
        `content-type: application/json\r\naccept: */*\r\nx-slack-request-timestamp: ${timestamp}\r\n` +
        `x-slack-signature: v0=${signature}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  });
}

/** Runs one order over bare sockets: the generator shall cost less than what it measures. */
export async function runLoad(order: LoadOrder): Promise<LoadResult> {
  const deliveries = signedDeliveries(order, new Date());
  const latencies: number[] = [];
  let refused = 0;
  let next = 0;
  const started = performance.now();
  const until = started + order.durationMs;
  await Promise.all(
    Array.from({ length: order.connections }, () =>
      converse(
        order.port,
        () => {
          const delivery = performance.now() < until ? deliveries[next] : undefined;
          if (!delivery) return undefined;
          const dueAt = order.perSecond ? started + (next * 1000) / order.perSecond : 0;
          next++;
          return { delivery, dueAt };
        },
        (status, ms) => {
          if (status === 200) latencies.push(ms);
          else refused++;
        },
      ),
    ),
  );
  const seconds = (performance.now() - started) / 1000;
  latencies.sort((a, b) => a - b);
  return {
    acknowledged: latencies.length,
    refused,
    perSecond: latencies.length / seconds,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
  };
}

function converse(
  port: number,
  nextDelivery: () => { delivery: Buffer; dueAt: number } | undefined,
  onAnswer: (status: number, ms: number) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let sentAt = 0;
    let answer = '';
    const send = () => {
      const next = nextDelivery();
      if (!next) return socket.end();
      const { delivery, dueAt } = next;
      const write = () => {
        // Counted from when it was due: a late start is part of what a sender waits. A timer may be early.
        sentAt = Math.min(dueAt || Number.POSITIVE_INFINITY, performance.now());
        socket.write(delivery);
      };
      const waitMs = dueAt - performance.now();
      if (waitMs > 0) setTimeout(write, waitMs);
      else write();
    };
    socket.on('connect', send);
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      const headEnd = answer.indexOf('\r\n\r\n');
      if (headEnd < 0) return;
      const length = Number(/^content-length: *(\d+)/im.exec(answer)?.[1] ?? 0);
      // An answer without a length (Bolt's) is chunked and empty: it ends with the zero chunk.
      const chunked = /^transfer-encoding: *chunked/im.test(answer);
      if (chunked ? !answer.endsWith('0\r\n\r\n') : answer.length < headEnd + 4 + length) return;
      onAnswer(Number(answer.slice(9, 12)), performance.now() - sentAt);
      answer = '';
      send();
    });
    socket.on('close', () => resolve());
    socket.on('error', reject);
  });
}

answerOrders(runLoad);
