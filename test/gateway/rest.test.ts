import { beforeAll, describe, expect, it } from 'vitest';
import { type RestSetUp, setUpRest } from './rest-support.ts';

describe('/v1/agents', () => {
  let t: RestSetUp;
  beforeAll(async () => {
    t = await setUpRest();
    return () => t.gateway.close();
  });

  it('makes, reads, changes and archives an agent, each change a version', async () => {
    const made = await t.api('POST', '/v1/agents', { name: 'Ada', model: 'claude-test', system: 'Be kind.' });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      type: 'agent',
      version: 1,
      name: 'Ada',
      model: { id: 'claude-test' },
      system: 'Be kind.',
      description: null,
      metadata: {},
      archived_at: null,
    });
    const path = `/v1/agents/${made.body.id}`;
    expect((await t.api('GET', path)).body).toEqual(made.body);
    const changed = await t.api('POST', path, {
      version: 1,
      system: null,
      metadata: { team: 'a', old: 'b' },
    });
    expect(changed.body).toMatchObject({ version: 2, system: null, name: 'Ada', metadata: { team: 'a' } });
    const again = await t.api('POST', path, { metadata: { old: null } });
    expect(again.body).toMatchObject({ version: 3, metadata: { team: 'a' } });
    expect((await t.api('GET', `${path}?version=1`)).body).toMatchObject({ version: 1, system: 'Be kind.' });
    const versions = await t.api('GET', `${path}/versions`);
    expect((versions.body.data as { version: number }[]).map(({ version }) => version)).toEqual([3, 2, 1]);
    const archived = await t.api('POST', `${path}/archive`);
    expect(archived.body.archived_at).not.toBeNull();
    expect((await t.api('POST', path, { name: 'Bea' })).status).toBe(409);
  });

  it('lets each agent choose the program that runs it, and refuses what does not go together', async () => {
    const make = (fields: object) =>
      t.api('POST', '/v1/agents', { name: 'Ada', model: 'claude-test', ...fields });
    expect((await make({})).body).toMatchObject({ program: 'builtin', program_command: null });
    const made = await make({ program: 'opencode', model: 'openai/gpt-5.1' });
    expect(made.body).toMatchObject({ program: 'opencode', version: 1 });
    const path = `/v1/agents/${made.body.id}`;
    const custom = await t.api('POST', path, { program: 'custom', program_command: ['node', '/x.mjs'] });
    expect(custom.body).toMatchObject({ version: 2, program: 'custom', program_command: ['node', '/x.mjs'] });
    expect((await t.api('POST', path, { name: 'Bea' })).body).toMatchObject({
      program_command: ['node', '/x.mjs'],
    });
    const back = await t.api('POST', path, { program: 'codex' });
    expect(back.body).toMatchObject({ version: 4, program: 'codex', program_command: null });
    expect((await t.api('GET', `${path}?version=1`)).body).toMatchObject({ program: 'opencode' });
    for (const [fields, message] of [
      [{ program: 'emacs' }, /program/],
      [{ program: 'custom' }, /program_command: is required/],
      [{ program_command: ['x'] }, /for the program custom only/],
      [{ program: 'custom', program_command: [] }, /program_command/],
      [{ program: 'codex' }, /codex cannot use claude-test; its models are OpenAI's/],
      [{ program: 'claude', model: 'openai/gpt-5.1' }, /its models are Anthropic's/],
      [{ model: 'google/gemini-2.5-pro' }, /builtin cannot use/],
    ] as const) {
      const refused = await make(fields);
      expect([refused.status, JSON.stringify(refused.body)]).toEqual([400, expect.stringMatching(message)]);
    }
    const change = await t.api('POST', path, { model: 'claude-test' });
    expect([change.status, JSON.stringify(change.body)]).toEqual([
      400,
      expect.stringContaining('codex cannot use'),
    ]);
  });

  it('lets one of two writers win who have seen the same version', async () => {
    const { body } = await t.api('POST', '/v1/agents', { name: 'Ada', model: { id: 'claude-test' } });
    const answers = await Promise.all(
      ['Bea', 'Cas'].map((name) => t.api('POST', `/v1/agents/${body.id}`, { name, version: 1 })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    const lost = answers.find(({ status }) => status === 409);
    expect(lost?.body).toMatchObject({ error: { type: 'conflict_error' } });
  });

  it('gives every writer without a version one of its own', async () => {
    const { body } = await t.api('POST', '/v1/agents', { name: 'Ada', model: 'm' });
    const answers = await Promise.all(
      Array.from({ length: 5 }, (_, n) => t.api('POST', `/v1/agents/${body.id}`, { name: `Ada ${n}` })),
    );
    expect(answers.map((answer) => answer.body.version).sort()).toEqual([2, 3, 4, 5, 6]);
  });

  it.each([
    [{ name: 'Ada', model: 'm', colour: 'red' }, 'colour'],
    [{ name: 'Ada', model: { id: 'm', size: 1 } }, 'model'],
    [{ model: 'm' }, 'name'],
    [{ name: '   ', model: 'm' }, 'name'],
    [{ name: 'Ada', model: 'm', metadata: { a: 1 } }, 'metadata.a'],
    ['{"name":', 'JSON'],
    ['', 'JSON'],
    ['null', ''],
  ])('names what is wrong in %j', async (body, field) => {
    const answer = await t.api('POST', '/v1/agents', body);
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ type: 'error', error: { type: 'invalid_request_error' } });
    expect((answer.body.error as { message: string }).message).toContain(field);
    expect(answer.body.request_id).toMatch(/^req_/);
  });

  it('answers 413 to a body above 4 MiB, and 404 to what does not exist', async () => {
    const large = await t.api('POST', '/v1/agents', {
      name: 'Ada',
      model: 'm',
      system: 'x'.repeat(4_200_000),
    });
    expect(large.status).toBe(413);
    expect((await t.api('GET', '/v1/agents/agent_0')).status).toBe(404);
    expect((await t.api('GET', '/v1/nonsense')).body).toMatchObject({ error: { type: 'not_found_error' } });
    expect((await t.api('POST', '/v1/agents/agent_0', { name: 'x' })).status).toBe(404);
  });

  it('pages through a list to its end, seeing each once', async () => {
    for (let n = 0; n < 7; n++) await t.api('POST', '/v1/agents', { name: `Page ${n}`, model: 'm' });
    const seen: string[] = [];
    let page: unknown = '';
    do {
      const { body } = await t.api('GET', `/v1/agents?limit=3&include_archived=true&page=${page}`);
      seen.push(...(body.data as { id: string }[]).map(({ id }) => id));
      page = body.next_page;
    } while (page !== null);
    expect(new Set(seen).size).toBe(seen.length);
    const { body } = await t.api('GET', '/v1/agents?limit=100&include_archived=true');
    expect((body.data as { id: string }[]).map(({ id }) => id)).toEqual(seen);
    expect(body.next_page).toBeNull();
    for (const bad of ['limit=0', 'limit=101', 'limit=x', 'page=nonsense']) {
      expect((await t.api('GET', `/v1/agents?${bad}`)).status).toBe(400);
    }
  });

  it('shows an organization nothing of another', async () => {
    const { body } = await t.api('POST', '/v1/agents', { name: 'Ours', model: 'm' });
    const theirs = { 'x-api-key': t.otherKey };
    const list = await fetch(`${t.gateway.url}/v1/agents?include_archived=true`, { headers: theirs });
    expect(JSON.stringify(await list.json())).not.toContain(String(body.id));
    const one = await fetch(`${t.gateway.url}/v1/agents/${body.id}`, { headers: theirs });
    expect(one.status).toBe(404);
    const write = await fetch(`${t.gateway.url}/v1/agents/${body.id}/archive`, {
      method: 'POST',
      headers: theirs,
    });
    expect(write.status).toBe(404);
  });
});
