import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/workplace/clock.ts';
import { type Listener, listen } from '../../src/workplace/listen.ts';
import { offlineModel } from '../../src/workplace/model/model.ts';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';
import { sessionFolder } from './session-folder.ts';
import { agentMessages, postInSlack, stateOf } from './workplace-state.ts';

let server: TestServer;
let secrets: Map<string, string>;
const operatorKey = 'sk-operator-model-key-6f1d0c9a7b3e4852';

let model: Listener;

beforeAll(async () => {
  // An operator with a model and a key of their own: the rules of the offline model, at another address.
  const app = offlineModel({ apiKey: operatorKey, clock: systemClock });
  model = await listen({ handler: (request) => app.fetch(request), maxBodyBytes: 32 * 1024 * 1024 });
  server = await startServer({ env: { ANTHROPIC_API_KEY: operatorKey, ANTHROPIC_BASE_URL: model.origin } });
  secrets = secretsOf(server);
});
afterAll(async () => {
  await cleanUp(server);
  await model.close();
});

/** Every secret of this installation, by name: what is in its private folder, what it printed, what it was given. */
function secretsOf({ home, apiKey, link }: TestServer): Map<string, string> {
  const read = (...path: string[]) => readFileSync(join(home, 'private', ...path), 'utf8').trim();
  const found = new Map([
    ['root key', read('root-key')],
    ['Postgres password', read('postgres-password')],
    ['API key', apiKey],
    ['login link', link.split('/').at(-1) ?? ''],
    ['model key', operatorKey],
  ]);
  const collect = (name: string, value: unknown): void => {
    if (typeof value === 'string') found.set(name, value);
    else if (value && typeof value === 'object') {
      for (const [key, inner] of Object.entries(value)) collect(`${name}.${key}`, inner);
    }
  };
  const { state } = JSON.parse(read('workplace', 'workplace.json')) as { state: { secrets: unknown } };
  collect('workplace', state.secrets);
  for (const [name, value] of found) if (value.length < 12) found.delete(name);
  return found;
}

/** The forms in which a value can lie in a file: as it is, in base64 at each of three offsets, in hex. */
function formsOf(value: string): string[] {
  const bytes = Buffer.from(value);
  const base64 = [0, 1, 2].map((offset) =>
    Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64')
      .replace(/=+$/, '')
      .slice(offset === 0 ? 0 : 4, -2),
  );
  return [
    value,
    ...base64,
    ...base64.map((each) => each.replaceAll('+', '-').replaceAll('/', '_')),
    bytes.toString('hex'),
  ];
}

function leaksIn(content: Buffer): string[] {
  const text = content.toString('latin1');
  return [...secrets]
    .filter(([, value]) => formsOf(value).some((form) => text.includes(form)))
    .map(([name]) => name);
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Runs a script in a session's sandbox by asking the agent to; answers the session's workspace on the host. */
async function runInSandbox(script: string): Promise<string> {
  const { agent } = await stateOf(server);
  const ts = await postInSlack(server, `${agent.slackHandle} run \`echo ready\``);
  await eventually(async () => (await agentMessages(server, ts)).length > 0, 'the first answer');
  const { data } = await server.api<{ data: { id: string }[] }>('/v1/sessions');
  const workspace = join(sessionFolder(server, data[0]?.id ?? '') ?? '', 'workspace');
  writeFileSync(join(workspace, 'probe.sh'), script, { mode: 0o755 });
  await postInSlack(server, 'run `bash /workspace/probe.sh > /workspace/probe.out 2>&1; echo finished`', ts);
  await eventually(
    async () => (await agentMessages(server, ts)).some((text) => text.includes('finished')),
    () => `the probe to finish:\n${server.output().slice(-2_000)}`,
  );
  return workspace;
}

describe('what an agent can find in its sandbox', () => {
  it('holds no secret of the platform, in no form', async () => {
    expect([...secrets.keys()].length).toBeGreaterThan(8);
    const workspace = await runInSandbox(`
      mkdir -p /workspace/found
      env > /workspace/found/env
      for p in /proc/[0-9]*; do
        cat $p/environ $p/cmdline $p/mountinfo $p/net/tcp $p/maps 2>/dev/null
        ls -l $p/fd 2>/dev/null
      done > /workspace/found/proc
      cat /proc/cmdline /proc/keys /proc/mounts > /workspace/found/proc-global 2>/dev/null
      # What was there before the installation was made cannot know its secrets; what came since is copied out.
      n=0
      find / -xdev \\( -path /proc -o -path /workspace -o -path /sys \\) -prune -o -type f -readable -newermt '${new Date(statSync(join(server.home, 'private', 'root-key')).mtimeMs - 60_000).toISOString()}' -print |
      while read -r f; do n=$((n+1)); cat "$f" > /workspace/found/file-$n; echo "$f" >> /workspace/found/list; done
      for d in /etc /opt /home /tmp /run /var /dev/shm; do
        find $d -type f -readable 2>/dev/null | while read -r f; do cat "$f"; done
      done > /workspace/found/outside-usr 2>/dev/null
    `);
    const found = filesBelow(join(workspace, 'found'));
    expect(found.length).toBeGreaterThanOrEqual(4);
    expect(readFileSync(join(workspace, 'found', 'proc'), 'utf8')).toContain('agent.mjs');
    const leaks = found.flatMap((file) => leaksIn(readFileSync(file)).map((name) => `${name} in ${file}`));
    expect(leaks).toEqual([]);
    // The search itself must be able to find something.
    const value = secrets.get('API key') ?? '';
    for (const offset of ['', 'x', 'xy']) {
      expect(leaksIn(Buffer.from(Buffer.from(`${offset}${value} and more`).toString('base64')))).toContain(
        'API key',
      );
    }
    expect(leaksIn(Buffer.from(Buffer.from(value).toString('hex')))).toContain('API key');
  });

  it('reaches nothing of this host and nothing that is not allowed, and each try is recorded', async () => {
    const port = (url: string) => new URL(url).port;
    const state = JSON.parse(
      readFileSync(join(server.home, 'private', 'workplace', 'workplace.json'), 'utf8'),
    ) as {
      state: { ports: Record<string, number> };
    };
    const postgres = readFileSync(
      join(server.home, 'open', 'postgres', 'data', 'postmaster.pid'),
      'utf8',
    ).split('\n')[3];
    const targets = [
      'https://example.com/',
      'http://169.254.169.254/latest/meta-data/',
      `http://127.0.0.1:${postgres}/`,
      `http://127.0.0.1:${port(server.url)}/health`,
      `http://localhost:${port(server.url)}/health`,
      `http://127.0.0.1:${state.state.ports.slack}/api/auth.test`,
      'https://slack.com/api/auth.test',
      'https://api.linear.app/graphql',
    ];
    const workspace = await runInSandbox(
      targets
        .flatMap((url, n) => [
          `curl -sS -m 10 -o /workspace/body-${n} -w 'proxied ${n} %{http_code} %{http_connect}\\n' '${url}'`,
          `curl -sS -m 5 --noproxy '*' -o /dev/null -w 'direct ${n} %{http_code}\\n' '${url}'`,
        ])
        .concat([
          '(echo > /proc/sys/kernel/core_pattern) 2>/dev/null && echo core_pattern-writable',
          'ls /sys 2>/dev/null | wc -l | sed s/^/sys-entries-/',
          'cat /proc/self/uid_map | sed s/^/uid-map-/',
        ])
        .join('\n'),
    );
    const out = readFileSync(join(workspace, 'probe.out'), 'utf8');
    for (const [n, url] of targets.entries()) {
      expect(out, url).toMatch(new RegExp(`proxied ${n} (403|000) (403|000)`));
      expect(out, url).not.toMatch(new RegExp(`proxied ${n} 000 000`));
      // Without the proxy's address it meets the same proxy, or no way out at all.
      expect(out, url).toMatch(new RegExp(`direct ${n} (000|403)`));
    }
    expect(out).not.toContain('core_pattern-writable');
    expect(out).toContain('sys-entries-0');
    expect(out).not.toMatch(/uid-map-\s*0\s+0\s/);
    const hosts = ['example.com', '169.254.169.254', '127.0.0.1', 'slack.com', 'api.linear.app'];
    let refused: string[] = [];
    await eventually(
      async () => {
        const { data } = await server.api<{ data: { host: string; decision: string; rule: string }[] }>(
          '/v1/egress_requests?limit=100',
        );
        refused = data.filter((row) => row.decision === 'refused').map((row) => row.host);
        return hosts.every((host) => refused.some((each) => each.startsWith(host)));
      },
      () => `a record of each refusal, but only of ${refused.join()}:\n${out}`,
    );
  });

  it('may not see what another session keeps', async () => {
    const secret = join(server.home, 'open', 'sessions', 'sesn_other');
    mkdirSync(secret, { recursive: true, mode: 0o710 });
    const workspace = await runInSandbox(`ls ${server.home} /var/lib/tagalong ${secret} && echo seen`);
    expect(readFileSync(join(workspace, 'probe.out'), 'utf8')).not.toContain('seen');
  });
});
