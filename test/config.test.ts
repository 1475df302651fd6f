import { describe, expect, it } from 'vitest';
import { ConfigError, decodeRootKey, readConfig } from '../src/config.ts';

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
    ['TAGALONG_API_KEY', 'short'],
    ['TAGALONG_ROLES', 'gateway,cook'],
    ['TAGALONG_MAX_TURNS', '0'],
    ['TAGALONG_SANDBOX', 'docker'],
    ['SLACK_API_URL', 'ftp://slack'],
    ['TAGALONG_LOG_LEVEL', 'loud'],
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
