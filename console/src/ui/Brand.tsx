import { Icon } from './Icon.tsx';

/** The name of the product. */
export function Brand() {
  return (
    <h1 className="brand">
      <Icon name="tag" />
      Tagalong
    </h1>
  );
}
