import type { Config } from '../config.ts';

export async function doctor(_config: Config): Promise<number> {
  return 0;
}
