#!/usr/bin/env node
import '../store/compile-cache.ts';
import { Command } from 'commander';
import { ConfigError, configExitCode, readConfig } from '../config.ts';
import type { Provider, PublishOptions } from './publish-options.ts';

/** Secrets are read once and then not left where a child, a crash report or `/proc` shows them. */
const secretVariables = [
  'ANTHROPIC_API_KEY',
  'OPENAI_API_KEY',
  'GEMINI_API_KEY',
  'TAGALONG_ROOT_KEY',
  'TAGALONG_ROOT_KEY_PREVIOUS',
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
  .command('verify-records')
  .description('look whether all records of requests are as they were written; exit code 0, or 5 when not')
  .action(async () => {
    const { verify } = await import('./verify-records.ts');
    process.exitCode = await verify(configuration());
  });

program
  .command('rotate-key')
  .description('replace the root key that is kept in the home, while Tagalong does not run')
  .action(async () => {
    const { rotateKey } = await import('./rotate-key.ts');
    process.exitCode = rotateKey(configuration());
  });

program
  .command('link')
  .description('print a new one-time link that opens the console')
  .action(async () => {
    const { link } = await import('./link.ts');
    process.exitCode = await link(configuration());
  });

program
  .command('why <subject>')
  .description(
    'say why a delivery (by its id), or the message that a link shows, did or did not reach the agent',
  )
  .action(async (subject: string) => {
    const { why } = await import('./why.ts');
    process.exitCode = await why(configuration(), subject);
  });

program
  .command('publish')
  .argument('[provider]', 'slack, github or linear; not needed with --publication')
  .description('publish an agent step by step: prints the links, asks for what must be typed')
  .option('--publication <id>', 'go on with this one')
  .option('--agent <name or id>', 'which agent; the newest by default')
  .option('--name <name>', 'its name there')
  .option('--owner <login>', 'GitHub: the organization that shall own the app')
  .option('--workplace', 'into the emulated workplace of this machine')
  .option('--new', 'one more, also where the same command made one before')
  .option('--client-id <value>', 'what the app page shows, or TAGALONG_CLIENT_ID')
  .option('--client-secret <value>', 'the same, or TAGALONG_CLIENT_SECRET')
  .option('--signing-secret <value>', 'the same, or TAGALONG_SIGNING_SECRET')
  .option('--no-wait', 'print what comes next and end (exit code 2) instead of waiting')
  .action(async (provider: string | undefined, options: PublishOptions) => {
    if (provider === undefined ? !options.publication : !isProvider(provider)) {
      process.stderr.write('Say where: tagalong publish slack, github or linear.\n');
      process.exitCode = 1;
      return;
    }
    const { publish } = await import('./publish.ts');
    const terminal = { input: process.stdin, output: process.stdout, environment: { ...process.env } };
    process.exitCode = await publish(
      configuration(),
      provider && isProvider(provider) ? provider : 'slack',
      options,
      terminal,
    );
  });

function isProvider(value: string): value is Provider {
  return value === 'slack' || value === 'github' || value === 'linear';
}

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
