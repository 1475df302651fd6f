import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// Ours and not the system's temporary folder, where others could leave code for us. Without it, starting takes longer.
const folder = fileURLToPath(new URL('../../node_modules/.cache/tagalong', import.meta.url));

/** With this in its environment a process of ours finds what was compiled before, from its first module on. */
export const compileCacheEnvironment = { NODE_COMPILE_CACHE: folder };

enableCompileCache(folder);
