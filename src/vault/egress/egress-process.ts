import type { Logger } from 'pino';
import { createLogger } from '../../store/logger.ts';
import { lowerBackgroundThreads } from './background-threads.ts';
import { Egress } from './egress.ts';
import type { GitNeeds } from './git-door.ts';
import type { EgressRequest, FromEgress, ToEgress } from './messages.ts';
import type { ListenerHandle } from './protocol.ts';
import type { RequestNeeds, WritersIn } from './provider-door.ts';

/**
 * Runs this process as the egress process: waits for the start message over IPC, serves until it is told to stop or
 * the worker is gone, then writes what is left to write and exits.
 */
export function runEgressProcess(needs: RequestNeeds, writersIn: WritersIn, git?: GitNeeds): void {
  lowerBackgroundThreads();
  const logger = createLogger({ level: 'info', name: 'egress', descriptor: 1 });
  let starting: Promise<Egress> | undefined;
  let stopping = false;

  const stop = async () => {
    if (stopping) return;
    stopping = true;
    // Whatever happens below, nothing of it outlives the worker for long.
    setTimeout(() => process.exit(1), 5_000).unref();
    await starting?.then((egress) => egress.stop()).catch((err) => logger.error({ err }, 'Stopping failed.'));
    process.exit(0);
  };

  process.on('message', (message: ToEgress, handle: unknown) => {
    if (message.type === 'start') {
      if (starting) return;
      const { type: _, ...start } = message;
      starting = Egress.start(start, { needs, writersIn, logger, ...(git ? { git } : {}) });
      starting.then(
        (egress) => {
          send({ type: 'ready' });
          egress
            .publishSealingKeys()
            .then(() => egress.reseal())
            .catch((err) => logger.warn({ err }, 'Public keys were not written.'));
        },
        (err) => {
          logger.fatal({ err }, 'The egress process could not start.');
          process.exit(1);
        },
      );
      return;
    }
    if (message.type === 'stop') return void stop();
    void starting?.then((egress) => {
      if (message.type === 'set_turn') return egress.setTurn(message.sessionId, message.turnId);
      return answer(egress, message, handle as ListenerHandle | undefined, logger);
    });
  });
  process.on('disconnect', () => void stop());
  // The worker decides when this process ends; what a terminal or a supervisor sends goes to both.
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {});
  process.on('uncaughtException', (err) =>
    logger.error({ err }, 'An error was not caught; its connection is lost.'),
  );
  process.on('unhandledRejection', (err) => logger.error({ err }, 'A failure was not handled.'));
}

function send(message: FromEgress): void {
  if (process.connected) process.send?.(message, () => {});
}

async function answer(
  egress: Egress,
  message: EgressRequest & { id: number },
  handle: ListenerHandle | undefined,
  logger: Logger,
): Promise<void> {
  const { id } = message;
  try {
    send({ type: 'answer', id, ok: true, value: await perform(egress, message, handle) });
  } catch (err) {
    logger.warn({ err, request: message.type }, 'A request of the worker failed.');
    send({ type: 'answer', id, ok: false, message: (err as Error).message });
  }
}

async function perform(egress: Egress, message: EgressRequest, handle: ListenerHandle | undefined) {
  switch (message.type) {
    case 'open_session':
      return egress.openSession(message.organizationId, message.sessionId, message.sealedAuthority);
    case 'add_listener':
      if (!handle) throw new Error('A listener came without its handle.');
      await egress.addListener(message.sessionId, handle, message.role);
      return null;
    case 'close_session':
      await egress.closeSession(message.sessionId);
      return null;
    case 'remote_proxy':
      return egress.remoteProxy(message.sessionId);
    case 'sealing_key':
      return egress.sealingKey(message.organizationId);
    case 'check_text':
      return egress.checkText(message.organizationId, message.text);
    case 'notify':
      return egress.notify(message.notification);
    case 'health':
      return egress.health();
  }
}
