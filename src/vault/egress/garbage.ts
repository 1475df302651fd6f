/** As much as a young collection frees for about the time that reading 100 KiB takes. */
const everyBytes = 4 * 1024 * 1024;
let sinceBytes = 0;

/**
 * Told of each piece of a body that goes by. Its bytes lie outside V8's heap, where V8 looks only when there are many
 * megabytes of them, and then goes through all of the heap: at some hundred MiB/s a third of the time, with a hundred MiB
 * of garbage. Collecting what is young (`--expose-gc`) now and then takes a hundredth, and leaves it nothing to do.
 */
export function passedBy(bytes: number): void {
  sinceBytes += bytes;
  if (sinceBytes < everyBytes) return;
  sinceBytes = 0;
  globalThis.gc?.({ type: 'minor' });
}

/** Of what is held whole one at a time: as much as the largest of it usually is. */
const everyHeldBytes = 32 * 1024 * 1024;
let sinceHeldBytes = 0;

/**
 * Told of what was held whole for a while, and is not needed any more. V8 would let several times of what is held lie
 * before it looks for it, since the whole heap is to be collected seldom.
 */
export function letGo(bytes: number): void {
  sinceHeldBytes += bytes;
  if (sinceHeldBytes < everyHeldBytes) return;
  sinceHeldBytes = 0;
  globalThis.gc?.();
}
