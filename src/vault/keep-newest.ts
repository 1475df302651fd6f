/**
 * Puts an entry last in a map whose order is that of use. With more than `maxEntries` the first one goes: it is
 * answered, for who has to end it.
 */
export function keepNewest<K, V>(map: Map<K, V>, key: K, value: V, maxEntries: number): V | undefined {
  map.delete(key);
  map.set(key, value);
  if (map.size <= maxEntries) return undefined;
  const [oldest] = map;
  if (oldest) map.delete(oldest[0]);
  return oldest?.[1];
}
