import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const source = fileURLToPath(new URL('../src', import.meta.url));

/** What is the same for all providers, and must not know which one it serves: folders, and files of them. */
const engines = [
  'gateway/publish',
  'gateway/notices',
  'gateway/why.ts',
  'gateway/rest/approvals.ts',
  'gateway/rest/actions.ts',
  'gateway/rest/deliveries.ts',
  'sessions',
  'outbound',
  'capabilities/policy.ts',
  'capabilities/growth.ts',
  'store/publication-states.ts',
  'store/publication-changes.ts',
  'store/waiting-deliveries.ts',
  'store/outsiders.ts',
];
/** What an agent is told of where it is has to name the place. */
const tellsThePlace = 'sessions/prompt.ts';
/** Names of providers, and words that only one of them has. */
const names = /slack|github|linear|octokit|graphql/i;

/** The code without comments: these may cite what a provider does and why that matters. */
function codeOf(text: string): string[] {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ''))
    .split('\n')
    .map((line) => line.replace(/(^|\s)\/\/.*$/, ''));
}

function filesOf(engine: string): string[] {
  if (engine.endsWith('.ts')) return [engine];
  return readdirSync(join(source, engine), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(engine, name))
    .filter((name) => name !== tellsThePlace);
}

describe('an engine', () => {
  it.each(engines)('%s names no provider in its code', (engine) => {
    const files = filesOf(engine);
    expect(files.length).toBeGreaterThan(0);
    const found = files.flatMap((name) =>
      codeOf(readFileSync(join(source, name), 'utf8')).flatMap((line, at) =>
        names.test(line) ? [`${name}:${at + 1}: ${line.trim()}`] : [],
      ),
    );
    expect(found).toEqual([]);
  });

  it('is looked through for what stands in code, not in comments', () => {
    expect(codeOf('a(); // of Slack\n/* GitHub\n Linear */ b();\n').some((line) => names.test(line))).toBe(
      false,
    );
    expect(codeOf("if (provider === 'slack') c(); // x\n").some((line) => names.test(line))).toBe(true);
    expect(codeOf("const url = 'https://github.com/x';\n").some((line) => names.test(line))).toBe(true);
  });
});
