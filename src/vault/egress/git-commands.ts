/** One line of a push: what a name is to point to from now on. */
export interface RefUpdate {
  ref: string;
  kind: 'create' | 'update' | 'delete';
}

export type GitCommands =
  /** What has come so far ends in the middle of the commands. */
  | { state: 'more' }
  /** `bytes`: how much they were; `hashBytes`: how long an object's name is. */
  | { state: 'done'; updates: RefUpdate[]; bytes: number; hashBytes: 20 | 32 }
  | { state: 'refused'; reason: string };

/** The commands of a push may not be longer; some hundred names fit. */
export const maxCommandBytes = 64 * 1024;
const zero = /^0+$/;
const command = /^([0-9a-f]{40}|[0-9a-f]{64}) ([0-9a-f]{40}|[0-9a-f]{64}) ([\x21-\x7e]+)$/;

/**
 * Reads the commands at the beginning of a push's body: pkt-lines up to the first flush (gitprotocol-pack, "Reference
 * Update Request"). Whatever is not a plain command is refused, a signed push too, whose commands are elsewhere.
 */
export function readGitCommands(bytes: Buffer): GitCommands {
  const no = (reason: string): GitCommands => ({ state: 'refused', reason });
  const updates: RefUpdate[] = [];
  let hashBytes: 20 | 32 = 20;
  let at = 0;
  for (;;) {
    if (bytes.length < at + 4) break;
    const digits = bytes.toString('latin1', at, at + 4);
    if (!/^[0-9a-f]{4}$/i.test(digits)) return no('it does not begin with the commands of a push');
    const length = Number.parseInt(digits, 16);
    if (length === 0) return { state: 'done', updates, bytes: at + 4, hashBytes };
    if (length <= 4) return no('it holds a packet of a kind that a push does not have');
    if (bytes.length < at + length) break;
    // After the first NUL of the first command come the abilities of the client.
    const [line = '', ...abilities] = bytes
      .toString('latin1', at + 4, at + length)
      .replace(/\n$/, '')
      .split('\0');
    at += length;
    if (line.startsWith('shallow ')) continue;
    const match = command.exec(line);
    if (!match || abilities.length > (updates.length === 0 ? 1 : 0)) {
      return no('it holds a line that is no plain command of a push');
    }
    const [, before = '', after = '', ref = ''] = match;
    if (before.length !== after.length || (zero.test(before) && zero.test(after))) {
      return no('it holds a command without a meaning');
    }
    if (/(?:^| )push-options(?: |$)/.test(abilities[0] ?? '')) {
      return no('its options (git push -o) are not passed on');
    }
    if (before.length === 64) hashBytes = 32;
    updates.push({ ref, kind: zero.test(after) ? 'delete' : zero.test(before) ? 'create' : 'update' });
  }
  return bytes.length > maxCommandBytes ? no('it names too many branches at once') : { state: 'more' };
}
