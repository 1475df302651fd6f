import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pin } from './process.ts';

export interface Nginx {
  pid: number;
  port: number;
  stop(): void;
}

/** Debian's nginx, installed when it is missing and we may; undefined where it cannot be had. */
export function findNginx(): string | undefined {
  const path = '/usr/sbin/nginx';
  if (!existsSync(path) && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    try {
      // Installed, but not started by the package: the bench runs its own.
      execFileSync('apt-get', ['install', '-y', '--no-install-recommends', 'nginx-light'], {
        stdio: 'ignore',
        env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
        timeout: 180_000,
      });
    } catch {
      return undefined;
    }
  }
  return existsSync(path) ? path : undefined;
}

/** Runs nginx with one worker and this `http` block in which `PORT` stands for its port. */
export async function startNginx(program: string, folder: string, http: string, core: 0 | 1): Promise<Nginx> {
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${join(folder, name)};`)
    .join(' ');
  writeFileSync(
    join(folder, 'nginx.conf'),
    `${process.getuid?.() === 0 ? 'user root;' : ''} daemon off; worker_processes 1; pid ${join(folder, 'pid')};
error_log ${join(folder, 'error.log')} error;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; ${temporary} client_max_body_size 0;
${http.replaceAll('PORT', String(port))} }\n`,
  );
  const child: ChildProcess = spawn(program, ['-p', folder, '-c', join(folder, 'nginx.conf')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const pid = child.pid ?? 0;
  // Before it forks its worker, which inherits the core.
  pin(pid, core);
  await sleep(300);
  if (child.exitCode !== null) throw new Error(`nginx ended with code ${child.exitCode}.`);
  return { pid, port, stop: () => void child.kill() };
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
