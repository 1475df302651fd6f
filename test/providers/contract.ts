import { describe, expect, test } from 'vitest';
import { parseCapability } from '../../src/capabilities/decide.ts';
import {
  type Asked,
  type Delivery,
  type ProviderAdapter,
  ProviderError,
  type ToolTarget,
  type WebhookRequest,
} from '../../src/providers/provider.ts';
import type { InstallationIdentity } from '../../src/store/schema.ts';
import { type Answer, createCloud } from './support/cloud.ts';
import { chance, mutated } from './support/mutate.ts';
import { delivered, now, secret } from './support/sign.ts';

export interface ContractOptions {
  adapter: ProviderAdapter;
  identity: InstallationIdentity;
  /** Deliveries of all kinds as the provider sends them; `sign` puts a true signature on a body. */
  payloads: { sign(body: unknown): WebhookRequest; body: Record<string, unknown> }[];
  /** Headers that the signature covers or is in: changing one must fail. */
  signedHeaders: string[];
  target: ToolTarget;
  /** How the vendor says each of these, and the tool's call that gets it. */
  failures: Record<'rate_limited' | 'unavailable' | 'unauthorized' | 'refused', Answer>;
  /** What the vendor says to a call that works. */
  success(call: string): Answer;
  /** A signed delivery by which a person decides over a request. */
  decision(decision: 'approve' | 'reject', id: string): WebhookRequest;
  /** The hop count in what was sent. */
  hopsIn(request: Record<string, unknown>): number | undefined;
  /** A signed delivery that tells the agent of just that: another agent has sent it, and mentions this one. */
  heard(request: Record<string, unknown>): WebhookRequest;
  /** Somebody, and what the vendor says of people of each kind. */
  asked: Asked;
  standings: { member(call: string): Answer } & Record<string, (call: string) => Answer>;
  placeNames: string[];
  credentials: { valid: Record<string, unknown>; secretFields: string[] };
  /** The official verifier; throws or answers false for a wrong signature. */
  official(request: WebhookRequest, key: string): boolean | Promise<boolean>;
}

const mark = '3f2b8c1e-7f1a-4c5e-9a55-0d6f6f1f2a3b';
const approvalId = 'apr_000000000000000000000000';

/** What each provider's adapter must do alike. */
export function providerContract(options: ContractOptions): void {
  const { adapter, identity, payloads, target } = options;
  const verify = (request: WebhookRequest, secrets = [secret]) =>
    adapter.webhook.verify(request, secrets, now);
  const sample = () => {
    const [first] = payloads;
    if (!first) throw new Error('the contract needs a payload');
    return first.sign(first.body);
  };

  describe(`${adapter.name}: the webhook door`, () => {
    test('takes what the vendor signed, as the official verifier does', async () => {
      for (const { sign, body } of payloads) {
        const request = sign(body);
        expect(verify(request)).toEqual({ ok: true });
        expect(await options.official(request, secret)).toBe(true);
      }
    });

    test('takes a signature by any of several secrets, and by no empty or missing one', () => {
      expect(verify(sample(), ['another-secret', secret])).toEqual({ ok: true });
      expect(verify(sample(), [secret, 'another-secret'])).toEqual({ ok: true });
      expect(verify(sample(), ['another-secret'])).toEqual({ ok: false, reason: 'wrong_signature' });
      expect(verify(sample(), [])).toEqual({ ok: false, reason: 'wrong_signature' });
      expect(verify(sample(), [''])).toEqual({ ok: false, reason: 'wrong_signature' });
    });

    test('refuses a body with any flipped byte', () => {
      const request = sample();
      const random = chance(7);
      for (let at = 0; at < request.body.length; at += 1 + Math.floor(random() * 7)) {
        const body = Buffer.from(request.body);
        body[at] = (body[at] ?? 0) ^ (1 << Math.floor(random() * 8));
        expect(verify({ ...request, body }).ok).toBe(false);
      }
    });

    test('refuses signed headers with any changed character, and without them', async () => {
      const request = sample();
      for (const name of options.signedHeaders) {
        const value = request.headers[name] ?? '';
        for (let at = 0; at < value.length; at++) {
          const swapped = value[at] === '0' ? '1' : '0';
          const changed = value.slice(0, at) + swapped + value.slice(at + 1);
          expect(verify({ ...request, headers: { ...request.headers, [name]: changed } }).ok).toBe(false);
        }
        const { [name]: _gone, ...rest } = request.headers;
        expect(verify({ ...request, headers: rest })).toEqual({ ok: false, reason: 'unsigned' });
        for (const odd of [
          `${value} `,
          ` ${value}`,
          `${value},${value}`,
          value.toUpperCase(),
          `${value}00`,
        ]) {
          if (odd === value) continue;
          expect(verify({ ...request, headers: { ...request.headers, [name]: odd } }).ok).toBe(false);
        }
      }
    });

    test('calls signed bytes that are no JSON object malformed', () => {
      for (const body of ['', '{', '[]', '"x"', 'null', '\u0000']) {
        const signed = payloads[0]?.sign(Buffer.from(body));
        if (signed) expect(verify(signed)).toEqual({ ok: false, reason: 'malformed' });
      }
    });

    test('keeps the headers that signals read', () => {
      for (const { sign, body } of payloads) {
        const request = sign(body);
        const kept = Object.fromEntries(
          Object.entries(request.headers).filter(([name]) => adapter.webhook.keptHeaders.includes(name)),
        );
        const whole = adapter.signals(delivered(request), identity);
        expect(adapter.signals(delivered({ headers: kept, body: request.body }), identity)).toEqual(whole);
      }
    });
  });

  describe(`${adapter.name}: signals`, () => {
    test('are the same for the same delivery, and never throw on a mutated one', () => {
      const random = chance(20261120);
      for (let round = 0; round < 400; round++) {
        const payload = payloads[round % payloads.length];
        if (!payload) continue;
        const body = JSON.stringify(mutated(payload.body, random)) ?? 'null';
        const delivery: Delivery = delivered({ ...payload.sign(payload.body), body: Buffer.from(body) });
        const signals = adapter.signals(delivery, identity);
        expect(signals.length).toBeGreaterThan(0);
        expect(adapter.signals({ ...delivery, body: Buffer.from(body) }, identity)).toEqual(signals);
        // What is stored must be storable: no NUL, no half of a surrogate pair.
        expect(JSON.stringify(signals)).not.toMatch(/\\u0000|\\ud[89a-f]/);
      }
    });

    test('say malformed for bytes that are no payload', () => {
      for (const body of ['', '{', '[]', 'null', '12', '\xff\xfe']) {
        const { headers } = sample();
        const [signal] = adapter.signals(delivered({ headers, body: Buffer.from(body, 'latin1') }), identity);
        expect(signal).toMatchObject({ kind: 'ignored', reason: 'malformed' });
      }
    });

    test('belong to no other workspace', () => {
      for (const { sign, body } of payloads) {
        const [signal] = adapter.signals(delivered(sign(body)), { ...identity, workspaceId: 'elsewhere' });
        expect(signal?.kind).toBe('ignored');
      }
    });
  });

  describe(`${adapter.name}: tools`, () => {
    test('have known capabilities, unique names, and a reply and a failure that are not listed', () => {
      const names = adapter.tools.map((tool) => tool.name);
      expect(new Set(names).size).toBe(names.length);
      for (const tool of adapter.tools) {
        expect(parseCapability(tool.capability)?.provider).toBe(adapter.name);
        expect(tool.name.startsWith(`${adapter.name}_`)).toBe(tool.listed);
        expect(tool.description.length).toBeGreaterThan(20);
      }
      const unlisted = adapter.tools.filter((tool) => !tool.listed).map((tool) => tool.name);
      expect(unlisted.sort()).toEqual(['ask_approval', 'close_approval', 'failure', 'reply']);
    });

    test('refuse a place that is not theirs, without a call', async () => {
      const cloud = createCloud(() => ({}));
      for (const tool of adapter.tools) {
        const input = validInput(tool.name);
        const call = tool.perform({ fetch: cloud.fetch, identity }, input, { place: { odd: 'place' } }, mark);
        await expect(call).rejects.toMatchObject({ name: 'ProviderError', code: 'refused' });
      }
      expect(cloud.requests).toHaveLength(0);
    });

    test('refuse an empty text', () => {
      const reply = adapter.tools.find((tool) => tool.name === 'reply');
      expect(reply?.input.safeParse({ text: ' \n ' }).success).toBe(false);
      expect(reply?.input.safeParse({}).success).toBe(false);
    });
  });

  describe(`${adapter.name}: what the vendor says no to`, () => {
    const attempt = async (answer: Answer): Promise<ProviderError> => {
      const cloud = createCloud(() => answer);
      const reply = adapter.tools.find((tool) => tool.name === 'reply');
      const error = await reply
        ?.perform({ fetch: cloud.fetch, identity }, { text: 'Hello.' }, target, mark)
        .then(() => undefined)
        .catch((thrown: unknown) => thrown);
      if (!(error instanceof ProviderError)) throw new Error(`not a ProviderError: ${String(error)}`);
      return error;
    };

    test.each(Object.entries(options.failures))('becomes %s', async (code, answer) => {
      const error = await attempt(answer);
      expect(error.code).toBe(code);
      expect(error.message.length).toBeGreaterThan(10);
      if (code === 'rate_limited') expect(error.retryAfterMs).toBeGreaterThan(0);
      expect(error.mayHaveArrived).toBe(code === 'unavailable');
    });

    test('a broken connection may have arrived, a refused one has not', async () => {
      const broken = new TypeError('fetch failed', {
        cause: Object.assign(new Error('x'), { code: 'ECONNRESET' }),
      });
      expect(await attempt({ throws: broken })).toMatchObject({ code: 'unavailable', mayHaveArrived: true });
      const refused = new TypeError('fetch failed', {
        cause: Object.assign(new Error('x'), { code: 'ECONNREFUSED' }),
      });
      expect(await attempt({ throws: refused })).toMatchObject({
        code: 'unavailable',
        mayHaveArrived: false,
      });
      const late = new DOMException('The operation timed out.', 'TimeoutError');
      expect(await attempt({ throws: late })).toMatchObject({ code: 'unavailable', mayHaveArrived: true });
    });

    test('a page instead of JSON may have arrived', async () => {
      const page = { status: 200, text: '<html>', headers: { 'content-type': 'text/html' } };
      expect(await attempt(page)).toMatchObject({ code: 'unavailable', mayHaveArrived: true });
      expect(await attempt({ ...page, status: 502 })).toMatchObject({
        code: 'unavailable',
        mayHaveArrived: true,
      });
    });

    test("the egress process' own no is told apart from the vendor's", async () => {
      const failed = { status: 502, headers: { 'x-tagalong-egress': 'failed' } };
      const unreadable = { error: { type: 'credential_unreadable', message: 'cannot be opened' } };
      expect(await attempt({ ...failed, json: unreadable })).toMatchObject({ code: 'unauthorized' });
      const down = { error: { type: 'upstream_failed', message: 'no answer' } };
      expect(await attempt({ ...failed, json: down })).toMatchObject({
        code: 'unavailable',
        mayHaveArrived: true,
      });
      const no = { status: 403, headers: { 'x-tagalong-egress': 'refused' }, text: '' };
      expect(await attempt(no)).toMatchObject({ code: 'refused' });
    });
  });

  describe(`${adapter.name}: requests for approval`, () => {
    const tool = (name: string) =>
      adapter.tools.find((each) => each.name === name) ?? expect.fail(`no tool ${name}`);
    const sent = async (name: string, input: Record<string, unknown>) => {
      const cloud = createCloud((request) => options.success(request.call));
      await tool(name)
        .perform({ fetch: cloud.fetch, identity }, input, { ...target, hops: 3 }, mark)
        .catch(() => undefined);
      return cloud.requests.map(({ form, json }) => ({ ...form, ...json }));
    };
    const asked = {
      approval_id: approvalId,
      title: 'Post in another channel',
      shown: 'text: look ``` at <!channel> and </pre> & ````',
      rules: 'One of the people with authority here must approve.',
    };

    test('show all of it and how to decide, in what cannot be ended from inside', async () => {
      const [request] = await sent('ask_approval', asked);
      const text = JSON.stringify(request);
      expect(text).toContain(approvalId);
      expect(text).toMatch(/look ``` at/);
      expect(text).toContain(asked.title);
      expect(text).toContain(`approve ${approvalId}`);
      expect(text).toContain(`reject ${approvalId}`);
      // Where code is fenced by a run of backticks, the run is longer than any inside.
      const fence = /(`{3,})(?:text)?\\ntext: look/.exec(text)?.[1];
      if (fence) expect(fence.length).toBeGreaterThan(4);
    });

    test('are decided in the words that they name, by whom the vendor says, and by nobody else’s bytes', () => {
      for (const decision of ['approve', 'reject'] as const) {
        const [signal] = adapter.signals(delivered(options.decision(decision, approvalId)), identity);
        expect(signal).toMatchObject({
          kind: 'decision',
          decision,
          approvalId,
          author: { kind: 'person', id: expect.stringMatching(/./) },
          anchor: { key: expect.stringMatching(/./) },
        });
        const elsewhere = { ...identity, workspaceId: 'elsewhere' };
        const [other] = adapter.signals(delivered(options.decision(decision, approvalId)), elsewhere);
        expect(other?.kind).toBe('ignored');
      }
      for (const odd of ['apr_1', `${approvalId}0`, approvalId.toUpperCase().replace('APR', 'APQ'), '']) {
        const [signal] = adapter.signals(delivered(options.decision('approve', odd)), identity);
        expect(signal?.kind).not.toBe('decision');
      }
    });

    test('carry the hops of what led to them', async () => {
      const [request] = await sent('ask_approval', asked);
      expect(options.hopsIn(request ?? {})).toBe(3);
    });
  });

  describe(`${adapter.name}: agents that lead to each other`, () => {
    test('count: what one sends, the other reads', async () => {
      const reply = adapter.tools.find(({ name }) => name === 'reply') ?? expect.fail('no reply');
      const sent = async (hops?: number) => {
        const cloud = createCloud((request) => options.success(request.call));
        const to = { ...target, ...(hops === undefined ? {} : { hops }) };
        await reply.perform({ fetch: cloud.fetch, identity }, { text: 'Look.' }, to, mark).catch(() => {});
        return cloud.requests.map(({ form, json }) => ({ ...form, ...json })).find(isSaid) ?? {};
      };
      for (const hops of [1, 3, 17]) {
        const [signal] = adapter.signals(delivered(options.heard(await sent(hops))), identity);
        expect(signal).toMatchObject({ kind: 'addressed', hops });
      }
      const [signal] = adapter.signals(delivered(options.heard(await sent())), identity);
      expect(signal).toMatchObject({ kind: 'addressed' });
      expect(signal).not.toHaveProperty('hops');
    });
  });

  describe(`${adapter.name}: who people are`, () => {
    const standings = Object.entries(options.standings);
    const ask = (answer: (call: string) => Answer) => {
      const cloud = createCloud((request) => answer(request.call));
      return adapter.mayAddress({ fetch: cloud.fetch, identity }, options.asked, { fresh: true });
    };

    test.each(standings)('%s', async (kind, answer) => {
      const judgement = await ask(answer);
      if (kind === 'member') expect(judgement).toEqual({ allowed: true });
      else expect(judgement).toMatchObject({ allowed: false, kind, detail: expect.stringMatching(/\w{3}/) });
    });

    test('is remembered, unless it is wanted fresh', async () => {
      let calls = 0;
      const cloud = createCloud((request) => {
        calls += 1;
        return options.standings.member(request.call);
      });
      const context = { fetch: cloud.fetch, identity };
      const first = await adapter.mayAddress(context, options.asked, { fresh: true });
      const once = calls;
      expect(await adapter.mayAddress(context, options.asked)).toEqual(first);
      expect(calls).toBe(once);
      await adapter.mayAddress(context, options.asked, { fresh: true });
      expect(calls).toBe(2 * once);
    });

    test('bots have no authority, and nobody is asked about them', async () => {
      const cloud = createCloud(() => ({}));
      const author = { id: 'B1', kind: 'bot' as const };
      const judgement = await adapter.mayAddress(
        { fetch: cloud.fetch, identity },
        { ...options.asked, author },
      );
      expect(judgement).toMatchObject({ allowed: false, kind: 'bot' });
      expect(cloud.requests).toHaveLength(0);
    });

    test('places have names that a policy can list', () => {
      expect(adapter.placeNames(target.place)).toEqual(options.placeNames);
      expect(adapter.placeNames({})).toEqual([]);
    });
  });

  describe(`${adapter.name}: presence`, () => {
    test('can be shown twice and ended twice', async () => {
      const cloud = createCloud((request) => options.success(request.call));
      const context = { fetch: cloud.fetch, identity };
      for (const phase of ['working', 'working', 'done', 'done', 'failed'] as const) {
        await adapter.presence(context, target, phase);
      }
      expect(cloud.requests.length).toBeGreaterThan(0);
    });

    test('lets a limit be seen, so that it is tried again', async () => {
      const cloud = createCloud(() => options.failures.rate_limited);
      const shown = adapter.presence({ fetch: cloud.fetch, identity }, target, 'working');
      await expect(shown).rejects.toMatchObject({ code: 'rate_limited' });
    });
  });

  describe(`${adapter.name}: credentials`, () => {
    const { valid, secretFields } = options.credentials;

    test('are split so that no secret is in the clear', () => {
      const split = adapter.splitCredentials(valid);
      const clear = JSON.stringify(split.credential.detail);
      for (const name of secretFields) expect(clear).not.toContain(JSON.stringify(valid[name]).slice(1, -1));
      expect(split.webhookSecret.length).toBeGreaterThan(0);
    });

    test('name the field that is missing, empty, of the wrong kind or too much', () => {
      const issuesOf = (credentials: unknown): string => {
        try {
          adapter.splitCredentials(credentials);
          return '';
        } catch (error) {
          return JSON.stringify((error as { issues?: unknown }).issues);
        }
      };
      for (const name of Object.keys(valid)) {
        const { [name]: _gone, ...rest } = valid;
        for (const odd of [
          rest,
          { ...valid, [name]: '' },
          { ...valid, [name]: null },
          { ...valid, [name]: {} },
        ]) {
          expect(issuesOf(odd)).toContain(name);
        }
      }
      expect(issuesOf({ ...valid, surprise: 1 })).toContain('surprise');
      for (const odd of [undefined, null, 'text', []]) expect(issuesOf(odd)).not.toBe('');
    });
  });
}

function validInput(name: string): Record<string, unknown> {
  if (name.endsWith('react')) return { emoji: 'eyes' };
  if (name === 'ask_approval') {
    return { approval_id: approvalId, title: 'Post', shown: 'text: Hello.', rules: 'One must approve.' };
  }
  if (name === 'close_approval') {
    return { approval_id: approvalId, title: 'Post', outcome: 'Approved by Maya.', prompt_mark: mark };
  }
  if (name.endsWith('create_issue')) return { title: 'Hello.' };
  if (name.endsWith('post_message')) return { channel: 'C222', text: 'Hello.' };
  if (name.endsWith('comment')) return { body: 'Hello.' };
  return name.includes('read') ? {} : { text: 'Hello.' };
}

/** Of the requests of a reply, the one with its words. */
const isSaid = (request: Record<string, unknown>): boolean => JSON.stringify(request).includes('Look.');
