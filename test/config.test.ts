import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { ConfigError, defaults, readConfig } from '../src/config.ts';
import { decodeRootKey } from '../src/config-values.ts';

const problemsOf = (environment: Record<string, string>): readonly string[] => {
  try {
    readConfig(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

describe('readConfig', () => {
  it('needs nothing set', () => {
    expect(readConfig({})).toMatchObject({
      port: 8787,
      host: '127.0.0.1',
      baseUrl: 'http://127.0.0.1:8787',
      roles: ['gateway', 'worker'],
      sandbox: 'bubblewrap',
      databaseUrl: undefined,
    });
  });

  it('reads what a session may use, with its defaults', () => {
    const set = { TAGALONG_EGRESS_MAX_MIB_UP_PER_HOUR: '100', TAGALONG_EGRESS_MAX_REQUESTS: '7' };
    expect(readConfig(set).egress).toEqual({ ...defaults.egress, maxMibUpPerHour: 100, maxRequests: 7 });
    expect(readConfig({}).egress).toEqual(defaults.egress);
  });

  it('leaves a part of the processors to what serves the sessions, unless it is told', () => {
    const processors = (TAGALONG_SESSION_PROCESSORS?: string) =>
      readConfig(TAGALONG_SESSION_PROCESSORS === undefined ? {} : { TAGALONG_SESSION_PROCESSORS })
        .sessionProcessors;
    expect(processors()).toBe(availableParallelism() * 0.75);
    expect(processors('1.5')).toBe(1.5);
    expect(processors('0')).toBeUndefined();
  });

  it('counts an empty variable as not set', () => {
    expect(readConfig({ PORT: '', ANTHROPIC_API_KEY: '' })).toMatchObject({ port: 8787 });
  });

  it.each([
    ['TAGALONG_PROGRAMS', '/no/such/folder'],
    ['PORT', 'eighty'],
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['HOST', 'two words'],
    ['TAGALONG_BASE_URL', 'tagalong.example'],
    ['TAGALONG_BASE_URL', 'https://user:pass@tagalong.example'],
    ['DATABASE_URL', 'mysql://db'],
    ['TAGALONG_ROOT_KEY', 'short'],
    ['TAGALONG_ROOT_KEY_PREVIOUS', 'short'],
    ['TAGALONG_ROOT_KEY_PREVIOUS', '00'.repeat(32)],
    ['TAGALONG_API_KEY', 'short'],
    ['TAGALONG_ROLES', 'gateway,cook'],
    ['TAGALONG_MAX_TURNS', '0'],
    ['TAGALONG_SESSION_PROCESSORS', 'all'],
    ['TAGALONG_SESSION_PROCESSORS', '0.01'],
    ['TAGALONG_SESSION_PROCESSORS', '-1'],
    ['TAGALONG_SANDBOX', 'docker'],
    ['TAGALONG_EGRESS_MAX_REQUESTS_PER_SECOND', '0'],
    ['TAGALONG_EGRESS_MAX_MIB_UP_PER_HOUR', 'all'],
    ['TAGALONG_EGRESS_IDLE_TIMEOUT_SECONDS', '1.5'],
    ['SLACK_API_URL', 'ftp://slack'],
    ['TAGALONG_LOG_LEVEL', 'loud'],
    ['TAGALONG_UPSTREAMS', 'packages.example.com'],
    ['TAGALONG_UPSTREAMS', 'packages.example.com=ftp://x'],
    ['TAGALONG_CA_FILES', '/no/such/file.pem'],
    ['TAGALONG_CA_FILES', 'package.json'],
    ['TAGALONG_EGRESS_LISTEN', '8443'],
    ['TAGALONG_EGRESS_LISTEN', '0.0.0.0:8443'],
    ['TAGALONG_EGRESS_CERTIFICATE', '/no/such/file'],
    ['TAGALONG_EGRESS_KEY', '/'],
    ['TAGALONG_EGRESS_URL', 'proxy.example'],
  ])('names the variable when %s is "%s"', (variable, value) => {
    expect(problemsOf({ [variable]: value }).join('\n')).toContain(variable);
  });

  it('tells of every wrong value at once', () => {
    expect(problemsOf({ PORT: 'x', TAGALONG_SANDBOX: 'x', HOST: ' ' })).toHaveLength(3);
  });

  it('never repeats a secret', () => {
    const text = problemsOf({ TAGALONG_ROOT_KEY: 'hunter2', DATABASE_URL: 'mysql://user:hunter2@db' }).join(
      '\n',
    );
    expect(text).not.toContain('hunter2');
  });

  it('wants the root key with a database of the operator', () => {
    expect(problemsOf({ DATABASE_URL: 'postgres://db/tagalong' }).join()).toContain(
      'TAGALONG_ROOT_KEY is required',
    );
  });

  it('reads a root key in hex and in base64url', () => {
    const bytes = Buffer.alloc(32, 7);
    expect(decodeRootKey(bytes.toString('hex'))).toEqual(bytes);
    expect(decodeRootKey(bytes.toString('base64url'))).toEqual(bytes);
    expect(decodeRootKey('!'.repeat(43))).toBeUndefined();
  });
});
