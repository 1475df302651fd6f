import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { type Config, ConfigError } from '../../config.ts';
import type { RemoteListener } from './protocol.ts';

/**
 * Reads the files of the proxy for other machines.
 * @throws ConfigError when they cannot be read, or are no certificate with its key.
 */
export function readRemoteListener(remote: NonNullable<Config['remoteProxy']>): RemoteListener {
  const { host, port, url, certificateFile, keyFile } = remote;
  try {
    const certificatePem = readFileSync(certificateFile, 'utf8');
    const privateKeyPem = readFileSync(keyFile, 'utf8');
    createSecureContext({ cert: certificatePem, key: privateKeyPem });
    return { host, port, ...(url ? { url } : {}), certificatePem, privateKeyPem };
  } catch (error) {
    throw new ConfigError([
      `TAGALONG_EGRESS_CERTIFICATE and TAGALONG_EGRESS_KEY are no certificate with its key in PEM: ${(error as Error).message}.`,
    ]);
  }
}
