import { type Context, Hono } from 'hono';
import type { DeliveryRecord, WebhookSender } from '../deliveries.ts';
import type { Emulator } from '../emulator.ts';

/**
 * `/app/hook/deliveries`: what was sent to the app's webhook and what became of it, and sending one again. For the app's
 * JWT only, which the emulator checks. Pages are not served: the list is at most 200 long.
 */
export function hookDeliveryRoutes(emulator: Emulator, sender: WebhookSender): Hono {
  const app = new Hono();
  const isApp = async (c: Context): Promise<boolean> => {
    const headers = { authorization: c.req.header('authorization') ?? '' };
    return (await emulator.fetch(new Request(new URL('/app', c.req.url), { headers }))).ok;
  };
  app.use('/app/hook/*', async (c, next) => {
    if (await isApp(c)) return await next();
    return c.json({ message: 'A JSON web token could not be decoded', status: '401' }, 401);
  });
  const find = (c: Context) =>
    sender.state().records.find((record) => record.id === Number(c.req.param('id')));
  app.get('/app/hook/deliveries', (c) => {
    const status = c.req.query('status');
    const records = [...sender.state().records].reverse();
    const wanted = records.filter(({ ok }) => (status ? ok === (status === 'success') : true));
    return c.json(wanted.slice(0, Number(c.req.query('per_page') ?? 30)).map(shown));
  });
  app.get('/app/hook/deliveries/:id{[0-9]+}', (c) => {
    const record = find(c);
    if (!record) return c.json({ message: 'Not Found', status: '404' }, 404);
    return c.json({ ...shown(record), request: { headers: {}, payload: record.payload } });
  });
  app.post('/app/hook/deliveries/:id{[0-9]+}/attempts', (c) => {
    const record = find(c);
    if (!record) return c.json({ message: 'Not Found', status: '404' }, 404);
    void sender.redeliver(record.id);
    return c.json({}, 202);
  });
  return app;
}

function shown(record: DeliveryRecord) {
  return {
    id: record.id,
    guid: record.deliveryId,
    delivered_at: new Date(record.deliveredAtMs).toISOString(),
    redelivery: record.redelivery,
    duration: record.durationMs / 1000,
    status: record.ok ? 'OK' : (record.failure ?? 'http_error'),
    status_code: record.statusCode,
    event: record.event,
    action: typeof record.payload.action === 'string' ? record.payload.action : null,
    installation_id: (record.payload.installation as { id?: number } | undefined)?.id ?? null,
  };
}
