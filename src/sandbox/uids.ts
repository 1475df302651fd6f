/** First host uid of the range that sessions get theirs from; above what distributions give to people and services. */
export const firstSessionUid = 200_000;
/** How many sessions of one host can have a uid of their own. */
export const sessionUidCount = 1_000_000;

/**
 * The host uid (and gid) of the session with this number (0, 1, 2 …), so that no session can signal, trace or read
 * another. Undefined where we are not root: then all sessions share the uid that we run under.
 * Throws a RangeError for a number outside the range.
 */
export function sessionUid(
  index: number,
  ownUid: number | undefined = process.getuid?.(),
): number | undefined {
  if (!Number.isSafeInteger(index) || index < 0 || index >= sessionUidCount) {
    throw new RangeError(
      `There is no session uid number ${index}: the range is 0 to ${sessionUidCount - 1}.`,
    );
  }
  return ownUid === 0 ? firstSessionUid + index : undefined;
}
