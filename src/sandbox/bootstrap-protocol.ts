import type { ListenerRole } from '../vault/egress/protocol.ts';

/** Bootstrap → worker, with the raw handle of each listener. */
export interface BootstrapListening {
  type: 'listening';
  role: ListenerRole;
  port: number;
  /** How many are still to come. */
  left: number;
}

/** Bootstrap → worker: the image of `mount` is mounted. When it cannot be, the bootstrap says so and ends. */
export interface BootstrapMounted {
  type: 'mounted';
}

export type FromBootstrap = BootstrapListening | BootstrapMounted;

/** Worker → bootstrap, once at most: mount this image, and give its folders that are root's still to the uid. */
export interface BootstrapMount {
  type: 'mount';
  /** The program, with its arguments. */
  command: readonly [string, ...string[]];
  image: string;
  folders: string[];
  uid: number;
}

/** Worker → bootstrap: become this program, with exactly this environment. Over IPC so that no argument list shows it. */
export interface BootstrapExec {
  type: 'exec';
  file: string;
  args: string[];
  env: Record<string, string>;
  /** Undefined: stay in `/`. */
  cwd?: string;
}

export type ToBootstrap = BootstrapMount | BootstrapExec;
