import type { ClientRequest } from './client-messages.ts';
import { parseAuthority } from './host-names.ts';
import { headerValues } from './http1-head.ts';
import { malformed, type Refusal, refuse } from './refusal.ts';

/** What is wrong with a CONNECT for this canonical host and port, if anything. */
export function checkConnect(request: ClientRequest, host: string, port: number): Refusal | undefined {
  // Python's http.client says HTTP/1.0 in its CONNECT.
  if (request.httpVersion !== '1.1' && request.httpVersion !== '1.0') {
    return malformed('http.version', 'Only HTTP/1.1 is spoken here.', 505);
  }
  if (
    headerValues(request.rawHeaders, 'transfer-encoding').length > 0 ||
    headerValues(request.rawHeaders, 'content-length').some((length) => length !== '0')
  ) {
    return malformed('http.framing', 'A CONNECT has no body.');
  }
  const hosts = headerValues(request.rawHeaders, 'host');
  const named = hosts.map((value) => parseAuthority(value, port));
  if (hosts.length > 1 || named.some((other) => !other.ok || other.host !== host)) {
    return malformed('http.host', `The Host header of the CONNECT must name ${host}.`);
  }
  return undefined;
}

/** Says no to what is not the name of a host. */
export function nameRefusal(reason: 'malformed' | 'ip_literal', what: string): Refusal {
  return reason === 'ip_literal'
    ? refuse('host.ip_literal', 'Addresses are not allowed; use the name of an allowed host.')
    : malformed('host.malformed', `The ${what} does not name a host and port.`);
}
