import type { Socket } from 'node:net';
import type { SecureContext, TLSSocket } from 'node:tls';
import { nameRefusal } from './connect-gate.ts';
import { costs } from './fair-queue.ts';
import { handshake } from './handshake.ts';
import { canonicalHost } from './host-names.ts';
import type { ProxySession } from './proxy-session.ts';
import { failed, malformed, type Refusal } from './refusal.ts';

/**
 * TLS by a client that believes to speak to the host itself: the name that it asks for is the host. A name that may
 * not be reached gets no certificate, hence no connection.
 */
export function acceptTls(
  session: ProxySession,
  socket: Socket,
  on: {
    decide(host: string): Promise<Refusal | undefined>;
    entered(secure: TLSSocket, host: string): void;
    refused(refusal: Refusal, host: string): void;
  },
): void {
  let host = '';
  let refusal = malformed('tls.name', 'TLS without the name of a host is not passed on.');
  const choose = async (named: string): Promise<SecureContext> => {
    const name = canonicalHost(named);
    host = name.ok ? name.host : named;
    const no = name.ok ? await on.decide(host) : nameRefusal(name.reason, 'TLS client hello');
    if (no) {
      refusal = no;
      throw new Error(no.rule);
    }
    refusal = failed('tls.handshake', 'The TLS handshake did not come to its end.');
    const turn = session.lane.take(costs.handshake);
    if (turn) await waitFor(turn);
    return session.authority.contextFor(host);
  };
  const waitFor = handshake(
    socket,
    {
      SNICallback: (named, done) => {
        choose(named).then(
          (context) => done(null, context),
          (error: Error) => done(error),
        );
      },
    },
    {
      secure: (secure) => on.entered(secure, host),
      failed: () => on.refused(refusal, host),
    },
  );
}
