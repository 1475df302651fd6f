import { createSocket, type Socket } from 'node:dgram';
import { dnsAnswer, dnsCode, dnsFailure, readDnsQuery } from './dns.ts';
import { canonicalHost } from './host-names.ts';
import { type EgressParts, recordRefusal } from './parts.ts';
import type { ListenerHandle } from './protocol.ts';
import type { ProxySession } from './proxy-session.ts';
import { refuse } from './refusal.ts';
import { decideDestination, internalHost } from './session-policy.ts';

/** Refused names are recorded once each, so many of them: a name can carry data, a flood of records helps nobody. */
const maxRecordedNames = 200;

/**
 * Answers the DNS queries of a session: the names that it may reach have an address, all others do not exist. Nothing
 * is passed on, so nothing can be told to the outside by asking for a name.
 */
export function serveDns(parts: EgressParts, session: ProxySession, handle: ListenerHandle): Promise<void> {
  const socket = createSocket('udp4');
  socket.on('error', (err) => parts.logger.warn({ err }, 'The DNS socket of a session broke.'));
  const recorded = new Set<string>();
  socket.on('message', (message, from) => {
    if (!session.limits.ask()) return;
    answer(parts, session, recorded, message).then(
      (reply) => {
        if (reply) send(socket, reply, from);
      },
      (err) => parts.logger.error({ err }, 'A DNS query could not be answered.'),
    );
  });
  session.addCloser(() => socket.close());
  return new Promise((resolve) => {
    socket.once('listening', resolve);
    // A raw handle is taken as it is; the types know ports only.
    socket.bind(handle as unknown as number);
  });
}

function send(socket: Socket, reply: Buffer, { port, address }: { port: number; address: string }): void {
  try {
    socket.send(reply, port, address, () => {});
  } catch {
    // Closed meanwhile.
  }
}

async function answer(
  parts: EgressParts,
  session: ProxySession,
  recorded: Set<string>,
  message: Buffer,
): Promise<Buffer | undefined> {
  const read = readDnsQuery(message);
  if (!read.ok) return read.id === undefined ? undefined : dnsFailure(read.id, read.code);
  const { question } = read;
  const name = canonicalHost(question.name);
  let known = false;
  let why = 'It is not the name of a host.';
  if (name.ok) {
    const policy = await session.policy().catch(() => undefined);
    if (!policy) return dnsFailure(question.id, dnsCode.failed);
    const port = name.host === internalHost ? 80 : 443;
    const decided = decideDestination(policy, name.host, port, parts.rules);
    known = decided.ok;
    if (!decided.ok) why = decided.refusal.message;
  }
  if (!known && recorded.size < maxRecordedNames && !recorded.has(question.name)) {
    recorded.add(question.name);
    const { organizationId, sessionId, turnId } = session;
    recordRefusal(
      parts,
      {
        ...{ organizationId, sessionId, turnId, installationId: null, at: new Date(parts.now()) },
        ...{ method: 'DNS', scheme: 'dns', host: question.name, port: 53, path: '' },
      },
      refuse('dns.not_allowed', `This name is not looked up. ${why}`),
    );
  }
  return dnsAnswer(question, known);
}
