import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Home } from '../store/home.ts';
import { startBootstrap } from './bootstraps.ts';
import { sandboxEnvironment } from './environment.ts';
import { prepareSessionFolder, prepareWritable } from './folders.ts';
import { inside } from './inside.ts';
import { launch } from './launch.ts';
import { placeRuntime } from './runtime.ts';
import { SandboxError, type SandboxPort, type SandboxSpec } from './sandbox.ts';
import { writeSettings, writeTrust } from './system-files.ts';

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
      prepareSessionFolder(spec.directory, spec.uid);
      const folders = prepareWritable(spec.directory, spec.uid);
      const trust = writeTrust(spec.directory, await spec.caCertificatePem);
      const env = await spec.env;
      const outside = outsidePaths(spec, runtime.nodeFolder, folders.workspace);
      writeSettings(spec.directory, outside.values(spec.files ?? {}));
      const [file, ...args] = spec.command.map(outside.text);
      if (file === undefined) throw new SandboxError('start_failed', 'The agent program has no command.');
      const launched = await launch({
        bootstrap: await startBootstrap({
          command: [runtime.node, '--disable-warning=ExperimentalWarning', runtime.bootstrap, '0'],
          uid: spec.uid,
        }),
        memoryBytes: spec.limits.memoryBytes,
        prepare: async () => (proxyPort) => ({
          file,
          args,
          cwd: folders.workspace,
          env: sandboxEnvironment(outside.values(env), {
            home: folders.home,
            path: `${runtime.nodeFolder}:/usr/local/bin:/usr/bin:/bin`,
            caBundle: join(trust, 'ca-bundle.pem'),
            sessionCa: join(trust, 'session-ca.pem'),
            javaTrust: join(trust, 'java-trust.jks'),
            proxyPort,
          }),
        }),
        onListener: spec.onListener,
        timeoutMs: options.startTimeoutMs ?? 15_000,
      });
      return {
        ...launched,
        enforced: {
          adapter: 'none',
          uid: spec.uid === undefined ? 'shared' : 'own',
          memory: 'none',
          processes: 'none',
          processors: 'none',
          seccomp: false,
          workspace: 'none',
          temporary: 'none',
        },
        workspace: folders.workspace,
      };
    },
    check: async () => ({
      ok: false,
      message:
        'Agents run without isolation (TAGALONG_SANDBOX=none). Unset it to run them in sandboxes; use none only where losing this user account would not matter.',
    }),
    close: async () => {},
  };
}

/** Commands, variables and settings name paths inside a sandbox; here each is read where it really is. */
function outsidePaths(spec: SandboxSpec, nodeFolder: string, workspace: string) {
  const places = [
    ...spec.mounts,
    { from: nodeFolder, to: inside.nodeFolder },
    { from: join(spec.directory, 'settings'), to: inside.settings },
    { from: workspace, to: inside.workspace },
  ];
  const text = (value: string): string =>
    places.reduce(
      (known, { from, to }) => known.replace(new RegExp(`(?<![\\w.-])${to}(?![\\w.-])`, 'g'), () => from),
      value,
    );
  const values = (all: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(all).map(([name, value]) => [name, text(value)]));
  return { text, values };
}
