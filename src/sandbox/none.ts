import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Home } from '../store/home.ts';
import { sandboxEnvironment } from './environment.ts';
import { prepareSessionFolders } from './folders.ts';
import { inside } from './inside.ts';
import { closeHandle, launch } from './launch.ts';
import { placeRuntime, type Runtime } from './runtime.ts';
import { SandboxError, type SandboxPort, type SandboxSpec } from './sandbox.ts';
import { writeTrust } from './system-files.ts';

export interface NoSandboxOptions {
  home: Home;
  logger: Logger;
  nodePath?: string;
  bundleFolder?: string;
  startTimeoutMs?: number;
}

/**
 * No isolation at all: agents run as ordinary processes, see what their uid sees, and can go around the proxy. Only by
 * `TAGALONG_SANDBOX=none`, and it says so each time. The environment is still empty but for what the spec gives, and
 * the way out is still offered by a listener of its own.
 */
export function createNoSandbox(options: NoSandboxOptions): SandboxPort {
  const { home, logger } = options;
  logger.warn('TAGALONG_SANDBOX=none: agents run WITHOUT ISOLATION and can do whatever their user can do');
  return {
    async open(spec) {
      logger.warn({ session: spec.sessionId }, 'an agent starts WITHOUT ISOLATION (TAGALONG_SANDBOX=none)');
      const runtime = placeRuntime(home, options);
      const folders = prepareSessionFolders(spec.directory, spec.uid);
      const trust = writeTrust(spec.directory, spec.caCertificatePem);
      const [file, ...args] = spec.command.map((part) => outsidePath(part, spec, runtime));
      if (file === undefined) throw new SandboxError('start_failed', 'The agent program has no command.');
      const { child, running, listeners } = await launch({
        command: [runtime.node, '--disable-warning=ExperimentalWarning', runtime.bootstrap, '0'],
        uid: spec.uid,
        cgroup: undefined,
        memoryBytes: spec.limits.memoryBytes,
        become: (proxyPort) => ({
          file,
          args,
          cwd: folders.workspace,
          env: sandboxEnvironment(spec.env, {
            home: folders.home,
            path: `${runtime.nodeFolder}:/usr/local/bin:/usr/bin:/bin`,
            caBundle: join(trust, 'ca-bundle.pem'),
            sessionCa: join(trust, 'session-ca.pem'),
            proxyPort,
          }),
        }),
        onListener: spec.onListener,
        timeoutMs: options.startTimeoutMs ?? 15_000,
      });
      const { stdin, stdout, stderr } = child;
      if (!stdin || !stdout || !stderr) throw new SandboxError('start_failed', 'The agent has no pipes.');
      const closed = running.closed.then((end) => {
        for (const handle of listeners) closeHandle(handle);
        return end;
      });
      return {
        stdin,
        stdout,
        stderr,
        enforced: {
          adapter: 'none',
          uid: spec.uid === undefined ? 'shared' : 'own',
          memory: 'none',
          processes: 'none',
          seccomp: false,
        },
        listeners,
        pid: running.pid,
        closed,
        close: (graceMs) => running.close(graceMs).then(() => closed),
      };
    },
    check: async () => ({
      ok: false,
      message:
        'Agents run without isolation (TAGALONG_SANDBOX=none). Unset it to run them in sandboxes; use none only where losing this user account would not matter.',
    }),
  };
}

/** Commands name paths inside a sandbox; here they are read where they really are. */
function outsidePath(part: string, spec: SandboxSpec, runtime: Runtime): string {
  const mounts = [...spec.mounts, { from: runtime.nodeFolder, to: inside.nodeFolder }];
  const mount = mounts.find(({ to }) => part === to || part.startsWith(`${to}/`));
  return mount ? mount.from + part.slice(mount.to.length) : part;
}
