#!/usr/bin/env node
import '../store/compile-cache.ts';
import { Command } from 'commander';
import { ConfigError, configExitCode, readConfig } from '../config.ts';

/** Secrets are read once and then not left where a child, a crash report or `/proc` shows them. */
const secretVariables = [
  'ANTHROPIC_API_KEY',
  'OPENAI_API_KEY',
  'TAGALONG_ROOT_KEY',
  'TAGALONG_API_KEY',
  'DATABASE_URL',
];

function configuration() {
  const config = readConfig(process.env);
  for (const name of secretVariables) delete process.env[name];
  return config;
}

const program = new Command('tagalong')
  .description('Tag an AI agent in Slack, GitHub and Linear.')
  .exitOverride();

program
  .command('start')
  .description('run the server until Ctrl-C')
  .action(async () => {
    const { start } = await import('./start.ts');
    process.exitCode = await start(configuration());
  });

program
  .command('doctor')
  .description('look at everything that must work, change nothing; exit code 0, or 4 when something does not')
  .action(async () => {
    const { doctor } = await import('./doctor.ts');
    process.exitCode = await doctor(configuration());
  });

program
  .command('link')
  .description('print a new one-time link that opens the console')
  .action(async () => {
    const { link } = await import('./link.ts');
    process.exitCode = await link(configuration());
  });

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof ConfigError) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = configExitCode;
  } else if (error instanceof Error && 'exitCode' in error && 'code' in error) {
    // Commander has said already what was wrong with the command line.
    process.exitCode = Number(error.exitCode);
  } else {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
