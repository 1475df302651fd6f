import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { profiles } from '../../src/agents/profiles/index.ts';
import {
  type ProgramName,
  parseModelId,
  programNames,
  programProblem,
  programVendors,
} from '../../src/agents/profiles/names.ts';

const models = { anthropic: 'claude-sonnet-4-5', openai: 'openai/gpt-5.1', google: 'google/gemini-2.5-pro' };
const start = (name: ProgramName, model: string) =>
  profiles[name].start({
    folder: '/opt/tagalong/program',
    packages: ['opencode-ai', 'opencode-linux-x64-baseline', 'opencode-linux-x64'],
    model: parseModelId(model),
    system: 'You are Ada.',
    command: ['my-agent', '--acp'],
  });
const everyStart = programNames.flatMap((name) =>
  programVendors[name].map((vendor) => [name, models[vendor]] as const),
);

describe('profiles', () => {
  it.each(everyStart)('%s with %s starts by an absolute path, and names its model', (name, model) => {
    const { command, env, files } = start(name, model);
    expect(command[0]).toMatch(/^\//);
    if (name === 'builtin') return;
    expect(JSON.stringify([command, env, files])).toContain(parseModelId(model).name);
  });

  it.each(everyStart)('%s with %s holds no key but the placeholder', (name, model) => {
    const { env, files = {} } = start(name, model);
    const keys = Object.entries(env).filter(([variable]) => /key|token|secret/i.test(variable));
    for (const [variable, value] of keys) expect([variable, value]).toEqual([variable, 'placeholder']);
    for (const content of Object.values(files)) expect(content).not.toMatch(/sk-|ghp_|xox/);
  });

  it('pin each package exactly, and what it depends on in a lock with checksums', () => {
    const locks = readdirSync(new URL('../../src/agents/profiles/locks', import.meta.url));
    const wanted = Object.values(profiles).flatMap((profile) => (profile.package ? [profile.package] : []));
    expect(wanted.flatMap(({ lock }) => lock ?? []).sort()).toEqual(locks.sort());
    for (const { name, version, lock } of wanted) {
      expect(version).toMatch(/^\d+\.\d+\.\d+$/);
      if (lock === undefined) continue;
      const file = new URL(`../../src/agents/profiles/locks/${lock}`, import.meta.url);
      const { packages } = JSON.parse(readFileSync(file, 'utf8')) as {
        packages: Record<
          string,
          { version?: string; integrity?: string; dependencies?: Record<string, string> }
        >;
      };
      expect(packages['']?.dependencies).toEqual({ [name]: version });
      const { '': _, ...rest } = packages;
      for (const [path, entry] of Object.entries(rest))
        expect([path, entry.integrity]).toEqual([path, expect.stringMatching(/^sha512-/)]);
    }
  });

  it('take the plain build of OpenCode, and say when there is none for this machine', () => {
    expect(start('opencode', models.openai).command[0]).toContain('/opencode-linux-x64/bin/');
    const none = () =>
      profiles.opencode.start({
        folder: '',
        packages: ['opencode-ai'],
        model: parseModelId('m'),
        system: '',
        command: [],
      });
    expect(none).toThrow(/no build for this machine/);
  });

  it('look a custom program up by its name, or take its path as it is', () => {
    expect(start('custom', models.openai).command).toEqual(['/usr/bin/env', 'my-agent', '--acp']);
  });
});

describe('which program can use which model', () => {
  it.each(programNames)('%s: its own vendors, and no other', (name) => {
    const command = name === 'custom' ? ['x'] : undefined;
    for (const [vendor, model] of Object.entries(models)) {
      const fits = programVendors[name].some((known) => known === vendor);
      expect(programProblem(name, model, command) === undefined, `${name} ${model}`).toBe(fits);
    }
  });

  it('a command belongs to custom, which needs one', () => {
    expect(programProblem('custom', models.openai, null)).toMatch(/program_command: is required/);
    expect(programProblem('opencode', models.openai, ['x'])).toMatch(
      /program_command: is for the program custom only/,
    );
  });
});
