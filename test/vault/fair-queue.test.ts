import { beforeEach, describe, expect, it, test } from 'vitest';
import { costs, FairQueue, type Lane } from '../../src/vault/egress/fair-queue.ts';
import { Brake, Pace } from '../../src/vault/egress/pace.ts';

let now = 0;
let due: (() => void) | undefined;
let queue: FairQueue;
/** What was done, in order. */
let done: string[];

beforeEach(() => {
  now = 0;
  due = undefined;
  done = [];
  const afterPass = (run: () => void) => {
    due = run;
  };
  queue = new FairQueue({ now: () => now, afterPass });
});

function ask(lane: Lane, name: string, cost: number = costs.request): void {
  const turn = lane.take(cost);
  if (turn) void turn.then(() => done.push(name));
  else done.push(name);
}

/** Lets the event loop come round once. False when nothing waits for that. */
async function pass(): Promise<boolean> {
  const run = due;
  due = undefined;
  run?.();
  await new Promise((resolve) => setImmediate(resolve));
  return run !== undefined;
}

/** Two other sessions are there, and do little. */
function company(): void {
  for (let i = 0; i < 2; i++) void queue.lane().take(costs.request);
}

/** Takes all that a session may have at once. */
function spend(lane: Lane): void {
  while (!lane.take(costs.request));
}

describe('the turns of sessions', () => {
  it('does what comes now and then at once, and asks for no pass', () => {
    const lane = queue.lane();
    for (let i = 0; i < 200; i++) {
      now += 10;
      ask(lane, `${i}`);
    }
    expect(done).toHaveLength(200);
    expect(due).toBeUndefined();
  });

  it('lets masses wait, one small request in a pass, and whoever comes with little does not wait for them', async () => {
    company();
    const flood = queue.lane();
    const calm = queue.lane();
    for (let i = 0; i < 100; i++) ask(flood, 'flood');
    const atOnce = done.length;
    expect(atOnce).toBeGreaterThan(8);
    expect(atOnce).toBeLessThan(50);
    await pass();
    await pass();
    expect(done).toHaveLength(atOnce + 2);
    ask(calm, 'calm');
    expect(done.at(-1)).toBe('calm');
    while (await pass());
    expect(done).toHaveLength(101);
  });

  it('goes round between those who wait, and keeps the order of each', async () => {
    const lanes = ['a', 'b', 'c'].map((name) => ({ name, lane: queue.lane() }));
    for (const { lane } of lanes) spend(lane);
    while (await pass());
    for (const { name, lane } of lanes) for (let i = 0; i < 4; i++) ask(lane, `${name}${i}`);
    while (await pass());
    expect(done.join(' ')).toBe('a0 b0 c0 a1 b1 c1 a2 b2 c2 a3 b3 c3');
  });

  it('starts much in a pass while nobody else is there, and little again once somebody is', async () => {
    const lane = queue.lane();
    now += 5_000;
    spend(lane);
    while (await pass());
    done = [];
    for (let i = 0; i < 12; i++) ask(lane, 'own');
    expect(done).toHaveLength(12);
    for (let i = 0; i < 100; i++) ask(lane, 'own');
    const before = done.length;
    await pass();
    expect(done.length - before).toBeGreaterThan(16);
    expect(done.length - before).toBeLessThan(64);
    ask(queue.lane(), 'other');
    ask(lane, 'own');
    done = [];
    for (let i = 0; i < 10; i++) await pass();
    expect(done.length).toBeLessThanOrEqual(10);
    now += 5_000;
    while (await pass());
    done = [];
    spend(lane);
    for (let i = 0; i < 100; i++) ask(lane, 'own');
    await pass();
    await pass();
    expect(done.length).toBeGreaterThan(20);
    while (await pass());
  });

  it('starts the more beside others the less it costs, and never nothing', async () => {
    company();
    const flood = queue.lane();
    spend(flood);
    while (await pass());
    const busy = async (cost: number) => {
      for (let i = 0; i < 30; i++) ask(flood, 'flood', cost);
      let others = 0;
      for (done = []; done.length < 30; others++) {
        // A new one each time: nothing of it waits.
        ask(queue.lane(), 'calm');
        done = done.filter((name) => name === 'flood');
        await pass();
      }
      while (await pass());
      return others;
    };
    const small = await busy(costs.request);
    const large = await busy(costs.handshake);
    expect(small).toBeGreaterThan(90);
    expect(large).toBeGreaterThan(small * 8);
    expect(large).toBeLessThan(small * 16);
  });

  it('gives each line as much by cost, however it is cut, and no more to who was away', async () => {
    const lanes = { large: queue.lane(), small: queue.lane(), late: queue.lane() };
    for (const lane of Object.values(lanes)) spend(lane);
    while (await pass());
    for (let i = 0; i < 40; i++) ask(lanes.large, 'large', 16);
    for (let i = 0; i < 1_000; i++) ask(lanes.small, 'small', 1);
    const had = (name: string) => done.filter((each) => each === name).length;
    for (let i = 0; i < 300; i++) await pass();
    expect(Math.abs(had('large') * 16 - had('small'))).toBeLessThanOrEqual(16);
    for (let i = 0; i < 100; i++) ask(lanes.late, 'late', 1);
    const before = had('small');
    for (let i = 0; i < 100; i++) await pass();
    expect(Math.abs(had('late') - (had('small') - before))).toBeLessThanOrEqual(16);
    while (await pass());
    expect(done).toHaveLength(1_140);
  });

  it('lets all go whose session is over, and takes nothing of others for it', async () => {
    const over = queue.lane();
    const other = queue.lane();
    spend(over);
    spend(other);
    while (await pass());
    for (let i = 0; i < 50; i++) ask(over, 'over', costs.dial);
    ask(other, 'other');
    over.close();
    ask(over, 'over');
    await pass();
    expect(done.filter((name) => name === 'over')).toHaveLength(51);
    expect(done).toContain('other');
    expect(await pass()).toBe(false);
  });

  it('gives back with time what was taken, and saves nothing up beyond that', async () => {
    company();
    const lane = queue.lane();
    spend(lane);
    while (await pass());
    now += 20;
    for (let i = 0; i < 100; i++) ask(lane, `${i}`);
    expect(done.length).toBeGreaterThan(0);
    expect(done.length).toBeLessThanOrEqual(11);
    while (await pass());
    done = [];
    now += 3_600_000;
    company();
    for (let i = 0; i < 100; i++) ask(lane, `${i}`);
    expect(done.length).toBeLessThan(50);
  });

  it('says when so much waits that more should be ended', () => {
    const lane = queue.lane();
    spend(lane);
    expect(lane.isCrowded).toBe(false);
    for (let i = 0; i < 1_100; i++) void lane.take(costs.request);
    expect(lane.isCrowded).toBe(true);
    expect(queue.lane().isCrowded).toBe(false);
  });
});

describe('the pieces of a body', () => {
  const kib = 1024;

  it('never wait where the body is small', () => {
    const lane = queue.lane();
    spend(lane);
    for (let i = 0; i < 100; i++) expect(new Pace(lane).passed(16 * kib)).toBeUndefined();
    expect(new Pace(undefined).passed(100 * kib)).toBeUndefined();
  });

  it('do not wait while nobody else is there, and wait for each other once somebody is', async () => {
    const lane = queue.lane();
    now += 10_000;
    void lane.take(costs.request * 100);
    const streams = Array.from({ length: 10 }, () => new Pace(lane));
    const waiting = () => streams.filter((pace) => pace.passed(64 * kib) !== undefined).length;
    expect(waiting()).toBe(0);
    await pass();
    void queue.lane().take(costs.request);
    void lane.take(costs.request);
    while (await pass());
    expect(waiting()).toBeGreaterThanOrEqual(8);
    while (await pass());
  });

  it('count each as something, however small', () => {
    const lane = queue.lane();
    spend(lane);
    const pace = new Pace(lane);
    let pieces = 0;
    while (pace.passed(1) === undefined && pieces < 1_000) pieces += 1;
    expect(pieces).toBeLessThan(100);
  });
});

test('a stream that is stopped for two reasons goes on when none is left', () => {
  const said: string[] = [];
  const brake = new Brake({ pause: () => said.push('pause'), resume: () => said.push('resume') });
  const first = brake.hold();
  const second = brake.hold();
  first();
  first();
  expect(said).toEqual(['pause']);
  second();
  expect(said).toEqual(['pause', 'resume']);
  brake.hold()();
  expect(said).toEqual(['pause', 'resume', 'pause', 'resume']);
});
