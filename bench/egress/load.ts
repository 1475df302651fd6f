import { setTimeout as sleep } from 'node:timers/promises';
import { answerOrders } from '../orders.ts';
import { quantile } from '../table.ts';
import { Connection, type Door } from './connection.ts';

/** One run of the load generator. */
export type LoadOrder = {
  door: Door;
  host: string;
  /** Put on by the client itself, where the way there does not. */
  token: string | undefined;
} & (
  | {
      kind: 'requests';
      connections: number;
      durationMs: number;
      /** At this steady rate over all connections, as far as they suffice; else as fast as they can. */
      perSecond?: number;
      /** Goes on when it is refused or cut off. */
      isFlood?: boolean;
      /** What is asked for; `/small` when left out. */
      path?: string;
    }
  | { kind: 'connections'; connections: number; durationMs: number }
  | { kind: 'download' | 'upload'; bytes: number }
  | { kind: 'events'; count: number }
);

export interface LoadResult {
  perSecond: number;
  p50Us: number;
  p99Us: number;
  /** Requests answered, or bytes of a stream. */
  count: number;
  /** Answers that were not 200. */
  refused: number;
  /** Of a steady pace: how long each answer took, the shortest first. */
  timesUs?: readonly number[];
}

/** Runs one order over bare TLS sockets with requests made beforehand: the generator shall cost the least. */
export async function runLoad(order: LoadOrder): Promise<LoadResult> {
  // A steady pace begins when its connections are open: to open them all at once is no part of it.
  const isSteady = order.kind === 'requests' && order.perSecond !== undefined;
  const opened = await Promise.all(
    Array.from({ length: isSteady ? order.connections : 0 }, () => Connection.open(order.door, order.host)),
  );
  const started = performance.now();
  const times: number[] = [];
  let refused = 0;
  let count = 0;
  const head = (method: string, path: string, more = '') =>
    Buffer.from(
      `${method} ${path} HTTP/1.1\r\nHost: ${order.host}\r\nUser-Agent: bench\r\nAccept: */*\r\n${order.token ? `Authorization: Bearer ${order.token}\r\n` : ''}${more}\r\n`,
    );
  const note = (status: number, since: number) => {
    count += 1;
    if (status === 200) times.push((performance.now() - since) * 1000);
    else refused += 1;
  };
  switch (order.kind) {
    case 'requests':
    case 'connections': {
      const until = started + order.durationMs;
      const keep = order.kind === 'requests';
      const request = head('GET', (keep && order.path) || '/small');
      const perSecond = order.kind === 'requests' ? order.perSecond : undefined;
      let asked = 0;
      const converse = async () => {
        let connection = keep ? (opened.pop() ?? (await Connection.open(order.door, order.host))) : undefined;
        while (performance.now() < until) {
          const dueAt = perSecond ? started + (asked++ * 1000) / perSecond : 0;
          if (dueAt > performance.now()) await sleep(dueAt - performance.now());
          // Counted from when it was due: a late start is part of what one waits. A timer may be early.
          const since = Math.min(dueAt || Number.POSITIVE_INFINITY, performance.now());
          connection ??= await Connection.open(order.door, order.host);
          const status = await connection.ask(request);
          note(status, since);
          if (keep && status === 200) continue;
          connection.close();
          connection = undefined;
        }
        connection?.close();
      };
      const flood = async () => {
        while (performance.now() < until) {
          await converse().catch(() => {
            refused += 1;
          });
        }
      };
      const isFlood = order.kind === 'requests' && order.isFlood;
      await Promise.all(Array.from({ length: order.connections }, isFlood ? flood : converse));
      break;
    }
    case 'download':
    case 'upload': {
      const connection = await Connection.open(order.door, order.host);
      const since = performance.now();
      const status =
        order.kind === 'download'
          ? await connection.ask(head('GET', `/stream?${order.bytes}`))
          : await connection.upload(
              head('PUT', '/upload', `Content-Length: ${order.bytes}\r\n`),
              order.bytes,
            );
      const seconds = (performance.now() - since) / 1000;
      connection.close();
      return {
        perSecond: order.bytes / seconds,
        p50Us: 0,
        p99Us: 0,
        count: order.bytes,
        refused: status === 200 ? 0 : 1,
      };
    }
    case 'events': {
      const connection = await Connection.open(order.door, order.host);
      for (const delayUs of await connection.events(head('GET', '/events'), order.count)) times.push(delayUs);
      count = times.length;
      connection.close();
    }
  }
  const seconds = (performance.now() - started) / 1000;
  times.sort((a, b) => a - b);
  return {
    ...{ perSecond: times.length / seconds, p50Us: quantile(times, 0.5), p99Us: quantile(times, 0.99) },
    ...{ count, refused },
    ...(isSteady ? { timesUs: times } : {}),
  };
}

answerOrders(runLoad);
