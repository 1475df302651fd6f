import type { ListenerRole } from '../vault/egress/protocol.ts';

/** Bootstrap → worker, with the raw handle of each listener. */
export interface BootstrapListening {
  type: 'listening';
  role: ListenerRole;
  port: number;
  /** How many are still to come. */
  left: number;
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
