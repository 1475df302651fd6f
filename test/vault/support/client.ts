import { execFile } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';

export interface Door {
  port: number;
  ca: string;
}

/** All that comes on a socket until it ends, or until `enough` says so. */
export function readAll(socket: Socket, enough: (text: string) => boolean = () => false): Promise<string> {
  return new Promise((resolve) => {
    let all = '';
    const done = () => resolve(all);
    socket.on('data', (chunk: Buffer) => {
      all += chunk.toString('latin1');
      if (enough(all)) done();
    });
    socket.on('end', done);
    socket.on('close', done);
    socket.on('error', done);
  });
}

/** Sends bytes to a proxy as they are and gives what comes back until it closes. */
export async function rawExchange(
  port: number,
  bytes: string,
  enough?: (text: string) => boolean,
): Promise<string> {
  const socket = connectTcp(port, '127.0.0.1');
  socket.write(Buffer.from(bytes, 'latin1'));
  const all = await readAll(socket, enough);
  socket.destroy();
  return all;
}

/** Opens a tunnel; the raw socket when it was opened, the answer's text when it was not. */
export function openTunnel(port: number, authority: string): Promise<Socket | string> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1');
    let all = '';
    const end = () => resolve(all);
    socket.on('error', end);
    socket.on('end', end);
    socket.on('data', function head(chunk: Buffer) {
      all += chunk.toString('latin1');
      if (!all.startsWith('HTTP/1.1 200') || !all.includes('\r\n\r\n')) return;
      socket.off('data', head);
      socket.off('end', end);
      resolve(socket);
    });
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  });
}

/** A tunnel with TLS in it, trusted by the session's authority. */
export async function openSecureTunnel(door: Door, host: string, servername = host): Promise<TLSSocket> {
  const socket = await openTunnel(door.port, `${host}:443`);
  if (typeof socket === 'string') throw new Error(socket);
  return new Promise((resolve, reject) => {
    const secure = connectTls(
      { socket, servername, ca: door.ca, rejectUnauthorized: servername === host },
      () => resolve(secure),
    );
    secure.once('error', reject);
  });
}

/** Sends bytes inside a fresh tunnel; answers until the server closes or `enough`. */
export async function exchangeInside(
  door: Door,
  host: string,
  bytes: string,
  enough?: (text: string) => boolean,
): Promise<string> {
  const secure = await openSecureTunnel(door, host);
  secure.write(Buffer.from(bytes, 'latin1'));
  const all = await readAll(secure, enough);
  secure.destroy();
  return all;
}

export interface CurlResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** Real curl, through the proxy, trusting the session's authority and nothing else. */
export function curl(door: Door, ...args: string[]): Promise<CurlResult> {
  const bundle = join(mkdtempSync(join(tmpdir(), 'tagalong-curl-')), 'ca.pem');
  writeFileSync(bundle, door.ca);
  return new Promise((resolve) => {
    execFile(
      'curl',
      ['--silent', '--show-error', '--max-time', '20', '--cacert', bundle, ...args],
      {
        env: {
          PATH: process.env.PATH,
          https_proxy: `http://127.0.0.1:${door.port}`,
          http_proxy: `http://127.0.0.1:${door.port}`,
        },
      },
      (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
  });
}
