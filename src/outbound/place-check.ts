import {
  type Place,
  type ProviderAdapter,
  type ProviderContext,
  ProviderError,
  type Writer,
} from '../providers/provider.ts';
import { isNarrower } from '../store/outsiders.ts';
import type { Audience } from '../store/schema.ts';

type PlaceAdapter = Pick<ProviderAdapter, 'audience' | 'canSee'>;

const words: Record<Audience, string> = {
  public: 'which anybody can see',
  workspace: 'which everybody of the workspace can see',
  private: 'which only those who were let in can see',
};

/** A write, and what the session has read so far. */
export interface PlacedWrite {
  /** The session's own place. */
  own: Place;
  /** Where it goes, when that is elsewhere. */
  elsewhere: Place | undefined;
  /** The narrowest audience of what was read beside its own place. */
  read: Audience | undefined;
  /** Whose words it acts upon; undefined where that was no person. */
  asker: Writer | undefined;
}

/**
 * Why something may not be written where it is meant to go: what was read where few can see it is not posted where more
 * can, and into a closed place only for somebody who is in it. Undefined when nothing is against it. Throws a
 * ProviderError when the provider does not answer.
 */
export async function objectionToPlace(
  adapter: PlaceAdapter,
  context: ProviderContext,
  { own, elsewhere, read, asker }: PlacedWrite,
): Promise<string | undefined> {
  if (!elsewhere) {
    if (read === undefined || read === 'public') return undefined;
    return objectionToAudience(read, await adapter.audience(context, own), 'another place was read here');
  }
  const [here, there] = [await adapter.audience(context, own), await adapter.audience(context, elsewhere)];
  const wider =
    objectionToAudience(here, there, 'this session is in a place') ??
    (read && objectionToAudience(read, there, 'another place was read here'));
  if (wider) return wider;
  return there === 'private' ? objectionToAccess(adapter, context, elsewhere, asker) : undefined;
}

/** Why something elsewhere may not be read or written for who asked; undefined when they have access themselves. */
export async function objectionToAccess(
  adapter: PlaceAdapter,
  context: ProviderContext,
  place: Place,
  asker: Writer | undefined,
): Promise<string | undefined> {
  if (!asker) return 'Nobody asked for it whose own access to that place could be looked at.';
  try {
    if (await adapter.canSee(context, asker, place)) return undefined;
  } catch (error) {
    if (!(error instanceof ProviderError) || error.code !== 'refused') throw error;
  }
  return `Who asked for it (${asker.author.name ?? asker.author.id}) has no access to that place themselves.`;
}

function objectionToAudience(from: Audience, to: Audience, what: string): string | undefined {
  if (!isNarrower(from, to)) return undefined;
  return `Not posted: ${what}, ${words[from]}, and this would go to a place ${words[to]}. What was read in a private place is not posted in a more public one. Ask for it in a place that no more people can see, or leave out what was read there.`;
}
