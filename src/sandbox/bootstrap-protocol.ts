/** Bootstrap → worker, with the raw handle of the listener. */
export interface BootstrapListening {
  type: 'listening';
  port: number;
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
