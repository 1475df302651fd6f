import { asc, eq, inArray } from 'drizzle-orm';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../src/store/ids.ts';
import { listen } from '../../src/store/listen.ts';
import { egressRequests, sessionEvents, sessions } from '../../src/store/schema.ts';
import { eventsChannel } from '../../src/store/session-events.ts';
import { databaseWriter } from '../../src/vault/egress/record-writer.ts';
import type { EgressRecord } from '../../src/vault/egress/records.ts';
import { Recorder } from '../../src/vault/egress/records.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { curl } from './support/client.ts';
import { recordKey, silent, startTestEgress } from './support/egress.ts';
import { startUpstream } from './support/upstream.ts';

const { database, url } = await createTestDatabase();
const upstream = await startUpstream();
const fixture = await createFixture(database);
const world = await startTestEgress(
  { database, url },
  { upstreams: [{ host: 'api.anthropic.com', pathPrefix: '/', target: upstream.origin, scope: 'all' }] },
);
const door = await world.open(fixture);
const notified: string[] = [];
const subscription = listen(url, eventsChannel, (sessionId) => notified.push(sessionId));
afterAll(() => {
  subscription.close();
  upstream.close();
});
beforeEach(() => {
  notified.length = 0;
});

const eventsOf = async (sessionId = fixture.sessionId) => {
  await world.egress.flush();
  return database
    .select()
    .from(sessionEvents)
    .where(eq(sessionEvents.sessionId, sessionId))
    .orderBy(asc(sessionEvents.position));
};
const turn = (turnId: string) => {
  world.egress.setTurn(fixture.sessionId, turnId);
  return new Promise((resolve) => setImmediate(resolve));
};

test('a refusal stands in the log once per turn for each rule and host, without its query, and readers hear of it', async () => {
  await turn('turn_1');
  for (const path of ['/a?token=hidden', '/b', '/c']) await curl(door, `https://nowhere.example${path}`);
  await curl(door, 'http://nowhere.example/plain?token=hidden');
  await curl(door, 'https://api.anthropic.com/v1/files?token=hidden');
  const events = await eventsOf();
  expect(events.map(({ type, turnId }) => [type, turnId])).toEqual([
    ['tagalong.egress_refused', 'turn_1'],
    ['tagalong.egress_refused', 'turn_1'],
  ]);
  expect(events.map(({ payload }) => payload)).toEqual([
    {
      host: 'nowhere.example',
      port: 443,
      method: 'CONNECT',
      path: '',
      rule: 'host.not_allowed',
      message: expect.stringContaining('An admin can add it'),
    },
    expect.objectContaining({ rule: 'model.endpoint', method: 'GET', path: '/v1/files' }),
  ]);
  expect(JSON.stringify(events)).not.toContain('hidden');
  expect(notified).toContain(fixture.sessionId);
  await turn('turn_2');
  await curl(door, 'https://nowhere.example/again');
  expect((await eventsOf()).at(-1)).toMatchObject({ turnId: 'turn_2', payload: { host: 'nowhere.example' } });
});

test('a flood of refusals is twenty events and one that says that there are more', async () => {
  await turn('turn_flood');
  const before = (await eventsOf()).length;
  for (let i = 0; i < 30; i++) await curl(door, `https://h${i}.flood.example/`);
  const events = (await eventsOf()).slice(before);
  expect(events).toHaveLength(21);
  expect(events.at(-1)?.payload).toEqual({
    rule: 'more',
    message: expect.stringContaining(`session_id=${fixture.sessionId}`),
  });
  const records = await world.records(fixture.sessionId);
  expect(records.filter(({ host }) => host.endsWith('flood.example'))).toHaveLength(30);
});

test('a model request is two events in the shape of the API, and is added to what the session has used', async () => {
  await turn('turn_model');
  const before = (await eventsOf()).length;
  const usage = {
    input_tokens: 10,
    cache_read_input_tokens: 90,
    cache_creation_input_tokens: 5,
    output_tokens: 7,
  };
  upstream.answer = (_request, response) =>
    response.end(JSON.stringify({ model: 'claude-x', stop_reason: 'end_turn', usage }));
  const ask = (path: string) => curl(door, `https://api.anthropic.com${path}`, '-d', '{"messages":[]}');
  await ask('/v1/messages');
  await ask('/v1/messages/count_tokens');
  upstream.answer = (_request, response) => response.writeHead(529).end('{"type":"error"}');
  await ask('/v1/messages');
  const [start, end, ...rest] = (await eventsOf()).slice(before);
  expect([start?.type, end?.type]).toEqual(['span.model_request_start', 'span.model_request_end']);
  expect(end?.payload).toEqual({
    model_request_start_id: start?.id,
    is_error: false,
    model_usage: usage,
    model: 'claude-x',
    stop_reason: 'end_turn',
    status: 200,
    duration_ms: expect.any(Number),
  });
  expect(rest.map(({ type, payload }) => [type, payload.is_error, payload.status])).toEqual([
    ['span.model_request_start', undefined, undefined],
    ['span.model_request_end', true, 529],
  ]);
  const [row] = await database.select().from(sessions).where(eq(sessions.id, fixture.sessionId));
  expect(row?.usage).toEqual({ input_tokens: 10, output_tokens: 7, cache_read_input_tokens: 90 });
});

test('records of a session that is gone are kept, and those of another organization stay out of a log', async () => {
  const stranger = await createFixture(database);
  const record = (sessionId: string, host: string): EgressRecord => ({
    organizationId: fixture.organizationId,
    ...{ sessionId, installationId: null, turnId: null, at: new Date(), method: 'GET', scheme: 'https' },
    ...{ host, port: 443, path: '/', status: 403, bytesUp: 0, bytesDown: 0, durationMs: 0, credential: null },
    ...{ decision: 'refused', rule: 'host.not_allowed', message: 'no' },
  });
  const recorder = new Recorder({ write: databaseWriter(database, recordKey), logger: silent });
  recorder.add(record(newId('sesn'), 'gone.example'));
  recorder.add(record(stranger.sessionId, 'foreign.example'));
  recorder.add(record(fixture.sessionId, 'ours.example'));
  await recorder.stop();
  const written = await database
    .select()
    .from(egressRequests)
    .where(inArray(egressRequests.host, ['gone.example', 'foreign.example', 'ours.example']));
  expect(written).toHaveLength(3);
  expect(await eventsOf(stranger.sessionId)).toEqual([]);
  expect((await eventsOf()).at(-1)).toMatchObject({ payload: { host: 'ours.example' } });
});
