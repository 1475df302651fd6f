/**
 * `@peculiar/x509` composes itself with tsyringe, which refuses to load without the three functions of the metadata
 * proposal that its decorators call. This gives them, for classes only, instead of one more dependency.
 * Import it before `@peculiar/x509`.
 */
interface MetadataReflect {
  getMetadata?(key: unknown, target: object): unknown;
  getOwnMetadata?(key: unknown, target: object): unknown;
  defineMetadata?(key: unknown, value: unknown, target: object): void;
}

const reflect = Reflect as MetadataReflect;

if (!reflect.getMetadata) {
  const known = new WeakMap<object, Map<unknown, unknown>>();
  reflect.getOwnMetadata = (key, target) => known.get(target)?.get(key);
  reflect.getMetadata = (key, target) => {
    for (let at: object | null = target; at !== null; at = Object.getPrototypeOf(at)) {
      if (known.get(at)?.has(key)) return known.get(at)?.get(key);
    }
    return undefined;
  };
  reflect.defineMetadata = (key, value, target) => {
    const own = known.get(target) ?? new Map<unknown, unknown>();
    known.set(target, own.set(key, value));
  };
}

export {};
