import type { Config } from '../config.ts';
import { startServer } from '../main.ts';
import { createLogger } from '../store/logger.ts';

/** Runs the server until SIGINT or SIGTERM. Answers the exit code. */
export async function start(config: Config): Promise<number> {
  // A person at a terminal is told what is wrong, not everything that happens.
  const level = config.logLevel ?? (process.stderr.isTTY ? 'warn' : 'info');
  const logger = createLogger({ level, descriptor: 2 });
  if (config.sandbox === 'none') {
    process.stderr.write(
      'WARNING: TAGALONG_SANDBOX=none. Agents run without any isolation, as this user, on this machine.\n',
    );
  }
  const stopped = Promise.withResolvers<void>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopped.resolve());

  const server = await startServer(config, logger);
  const lines = [
    'Tagalong is ready',
    '',
    `  Open     ${server.link}`,
    '           (works once, within 24 hours)',
  ];
  if (server.apiKey) lines.push(`  API key  ${server.apiKey}`, '           (shown this once)');
  if (server.workplace) {
    lines.push('', '  Slack, GitHub and Linear are emulated on this machine.');
    if (server.workplace.offlineModel) {
      lines.push(
        '  The offline model answers by simple rules; set ANTHROPIC_API_KEY or OPENAI_API_KEY for a real one.',
      );
    }
  }
  process.stdout.write(`${lines.join('\n')}\n\n  Stop with Ctrl-C.\n`);

  await stopped.promise;
  process.stdout.write('\nStopping …\n');
  // What does not end by itself must not keep us: everything that counts is in the database.
  const limit = setTimeout(() => process.exit(1), 4_500);
  limit.unref();
  await server.stop();
  clearTimeout(limit);
  return 0;
}
