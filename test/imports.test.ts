import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const source = fileURLToPath(new URL('../src', import.meta.url));

/** The rooms from top to bottom: a file imports from its own room and from those below. */
const rooms = [
  'cli',
  'gateway',
  'workplace',
  'sessions',
  'outbound',
  'agents',
  'sandbox',
  'providers',
  'vault',
  'capabilities',
  'store',
  'config.ts',
  'config-values.ts',
];
/** Composition roots may know everything. Nobody imports them but the command line, which is one itself. */
const roots = ['main.ts', 'worker-role.ts', 'gateway-role.ts', 'workplace-role.ts', 'egress.ts', 'cli'];
/** Vendor SDKs stop at their provider, or at the emulation of the vendor. */
const vendorPackages: Record<string, string> = {
  '@slack/': 'providers/slack',
  '@octokit/': 'providers/github',
  '@linear/': 'providers/linear',
};

const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .sort();

function importsOf(name: string): string[] {
  const text = readFileSync(join(source, name), 'utf8');
  const found = text.matchAll(
    /^\s*(?:import|export)\s[^;]*?from\s+'([^']+)'|\bimport\(\s*'([^']+)'|^\s*import\s+'([^']+)'/gm,
  );
  return [...found].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

const localImports = new Map(
  files.map((name) => [
    name,
    importsOf(name)
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => relative(source, resolve(source, dirname(name), specifier)))
      .filter((target) => !target.startsWith('..')),
  ]),
);

const roomOf = (name: string): string => name.split('/')[0] ?? name;

describe('imports', () => {
  it('lead to files that exist', () => {
    const known = new Set(files);
    const missing = [...localImports].flatMap(([name, targets]) =>
      targets.filter((target) => !known.has(target)).map((target) => `${name} → ${target}`),
    );
    expect(missing).toEqual([]);
  });

  it('point down the list of rooms, never up', () => {
    const wrong = [...localImports].flatMap(([name, targets]) => {
      if (roots.includes(roomOf(name))) return [];
      return targets
        .filter((target) => {
          const from = rooms.indexOf(roomOf(name));
          const to = rooms.indexOf(roomOf(target));
          return from < 0 || to < 0 || to < from;
        })
        .map((target) => `${name} → ${target}`);
    });
    expect(wrong).toEqual([]);
  });

  it('do not cross between providers', () => {
    const wrong = [...localImports].flatMap(([name, targets]) => {
      const own = /^providers\/(slack|github|linear)\//.exec(name)?.[1];
      if (!own) return [];
      return targets
        .filter((target) => {
          const other = /^providers\/(slack|github|linear)\//.exec(target)?.[1];
          return other !== undefined && other !== own;
        })
        .map((target) => `${name} → ${target}`);
    });
    expect(wrong).toEqual([]);
  });

  it('keep each vendor SDK in its provider', () => {
    const wrong = files.flatMap((name) =>
      importsOf(name)
        .filter((specifier) => {
          const vendor = Object.keys(vendorPackages).find((prefix) => specifier.startsWith(prefix));
          return (
            vendor !== undefined &&
            !name.startsWith(vendorPackages[vendor] ?? '') &&
            roomOf(name) !== 'workplace'
          );
        })
        .map((specifier) => `${name} → ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  it('make no circle', () => {
    const state = new Map<string, 'open' | 'done'>();
    const circles: string[] = [];
    const visit = (name: string, path: readonly string[]): void => {
      if (state.get(name) === 'done') return;
      if (state.get(name) === 'open') {
        circles.push([...path.slice(path.indexOf(name)), name].join(' → '));
        return;
      }
      state.set(name, 'open');
      for (const target of localImports.get(name) ?? []) visit(target, [...path, name]);
      state.set(name, 'done');
    };
    for (const name of files) visit(name, []);
    expect(circles).toEqual([]);
  });
});
