import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { JsonBodies } from '../../src/vault/egress/json-bodies.ts';
import { textsOf } from '../../src/vault/egress/json-texts.ts';
import { holdsMoreValues } from '../../src/vault/egress/json-values.ts';
import { judgeModelBody } from '../../src/vault/egress/model-body.ts';

let bodies: JsonBodies;
beforeEach(() => {
  bodies = new JsonBodies();
});
afterEach(() => bodies.close());

const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));
const model = (value: unknown) => ({
  bytes: bytes(value),
  wire: 'messages' as const,
  mayReachOut: false,
});
const conversation = (texts: readonly string[]) => ({
  model: 'x',
  messages: texts.map((content) => ({ role: 'user', content })),
});
const mib = 1024 * 1024;

describe('how many values a document holds', () => {
  it('is what counting them says, whatever its texts hold', () => {
    const parts = ['{}', '[', ',', '"', '\\', '\\"', 'é', '日本', '', '\\\\'];
    let seed = 7;
    const random = (below: number) => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return seed % below;
    };
    const text = () => Array.from({ length: random(6) }, () => parts[random(parts.length)]).join('');
    const make = (depth: number): unknown => {
      const kind = random(depth > 4 ? 3 : 5);
      if (kind === 0) return text();
      if (kind === 1) return random(1_000);
      if (kind === 2) return null;
      const children = Array.from({ length: 1 + random(4) }, () => make(depth + 1));
      return kind === 3
        ? children
        : Object.fromEntries(children.map((child, at) => [`${at}${text()}`, child]));
    };
    const count = (value: unknown): number =>
      typeof value === 'object' && value !== null
        ? 1 + Object.values(value).reduce((sum: number, child) => sum + count(child), 0)
        : 1;
    for (let i = 0; i < 500; i++) {
      const value = [make(0)];
      const document = bytes(value);
      expect(holdsMoreValues(document, count(value) - 1), document.toString()).toBe(true);
      expect(holdsMoreValues(document, count(value)), document.toString()).toBe(false);
    }
  });

  it('is seen at its beginning, where it is far too many, and a text without an end holds none', () => {
    expect(holdsMoreValues(Buffer.alloc(32 * mib, ','), 1_000)).toBe(true);
    expect(holdsMoreValues(Buffer.from(`"${',['.repeat(1_000)}`), 1)).toBe(false);
    expect(holdsMoreValues(Buffer.alloc(0), 1)).toBe(false);
  });
});

describe('bodies that are JSON', () => {
  it('are judged alike by us and by the thread, small and large', async () => {
    const long = 'a "quoted" text, é and 日本 '.repeat(40);
    for (const texts of [['hello'], Array(500).fill(long)]) {
      const plain = model(conversation(texts));
      const expected = judgeModelBody({ ...plain, bytes: Buffer.from(plain.bytes) });
      expect(expected.ok).toBe(true);
      const broken = { ...plain, bytes: Buffer.from(plain.bytes.subarray(0, -1)) };
      expect(await bodies.judge(bodies, plain)).toEqual(expected);
      const reaching = model({ ...conversation(texts), mcp_servers: [{ url: 'https://evil.example' }] });
      expect(await bodies.judge(bodies, reaching)).toMatchObject({
        ok: false,
        refusal: { rule: 'model.mcp_servers' },
      });
      expect(await bodies.judge(bodies, broken)).toMatchObject({
        ok: false,
        refusal: { rule: 'model.body', status: 400 },
      });
    }
  });

  it('give the same texts by us and by the thread', async () => {
    for (const document of [
      bytes({ a: ['b', { c: 'd' }] }),
      bytes(conversation(Array(5_000).fill('words'))),
    ]) {
      expect(await bodies.texts(bodies, document)).toBe(textsOf(document));
    }
    expect(await bodies.texts(bodies, Buffer.alloc(mib, 'no JSON '))).toBeUndefined();
  });

  it('let the loop go on while a large one is read', async () => {
    const large = model(conversation(Array(20).fill('x'.repeat(mib))));
    await bodies.judge(bodies, model(conversation(['y'.repeat(mib)])));
    let passes = 0;
    let isDone = false;
    const count = () => {
      passes += 1;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    expect((await bodies.judge(bodies, large)).ok).toBe(true);
    isDone = true;
    expect(passes).toBeGreaterThan(10);
  });

  it('may not hold millions of values, which would take seconds and hundreds of MiB to read', async () => {
    for (const count of [300_000, 10 * mib]) {
      const messages = Array(count).fill('{}').join(',');
      const many = Buffer.from(`{"model":"x","messages":[${messages}]}`);
      const judged = await bodies.judge(bodies, { bytes: many, wire: 'messages', mayReachOut: true });
      expect(judged).toMatchObject({ ok: false, refusal: { rule: 'model.body', status: 413 } });
    }
  });

  it('of one session come one after the other, and those of another in between', async () => {
    const done: string[] = [];
    const large = () => model(conversation(['z'.repeat(4 * mib)]));
    const one = {};
    const asked = Array.from({ length: 6 }, (_, at) =>
      bodies.judge(one, large()).then(() => done.push(`one ${at}`)),
    );
    const other = bodies.judge({}, large()).then(() => done.push('other'));
    await Promise.all([...asked, other]);
    expect(done.indexOf('other')).toBeLessThan(3);
    expect(done.filter((name) => name !== 'other')).toEqual([0, 1, 2, 3, 4, 5].map((at) => `one ${at}`));
  });

  it('are answered when the thread has ended, and read by a new one afterwards', async () => {
    await bodies.judge(bodies, model(conversation(['x'.repeat(mib)])));
    const lost = bodies.judge(bodies, model(conversation(['x'.repeat(16 * mib)])));
    const next = bodies.judge(bodies, model(conversation(['x'.repeat(mib)])));
    await new Promise((resolve) => setImmediate(resolve));
    await bodies.close();
    await expect(lost).rejects.toMatchObject({ refusal: { rule: 'body.unread', status: 503 } });
    expect((await next).ok).toBe(true);
  });
});
