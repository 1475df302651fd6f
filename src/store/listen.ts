import pg from 'pg';

/** A lasting `LISTEN`. */
export interface Subscription {
  close(): void;
}

/**
 * Listens on one channel for as long as it is open, over lost connections too. What is notified while the connection
 * is away is lost: callers look at the rows as well, `onConnected` being a good moment.
 */
export function listen(
  databaseUrl: string,
  channel: string,
  onPayload: (payload: string) => void,
  onConnected: () => void = () => {},
): Subscription {
  let closed = false;
  let client: pg.Client | undefined;

  const open = async () => {
    const next = new pg.Client({
      connectionString: databaseUrl,
      keepAlive: true,
      connectionTimeoutMillis: 5_000,
    });
    client = next;
    let over = false;
    const again = () => {
      if (over || closed) return;
      over = true;
      setTimeout(() => void open(), 500).unref();
    };
    next.on('notification', (message) => onPayload(message.payload ?? ''));
    next.on('error', again);
    next.once('end', again);
    try {
      await next.connect();
      await next.query(`listen ${pg.escapeIdentifier(channel)}`);
      if (closed) await next.end();
      else onConnected();
    } catch {
      next.end().catch(() => {});
      again();
    }
  };

  void open();
  return {
    close() {
      closed = true;
      client?.end().catch(() => {});
    },
  };
}
