import type { WorkplaceState } from '../workplace-api.ts';

/** Says so when no real model answers, and how to get one. */
export function ModelNote({ model }: { model: WorkplaceState['model'] }) {
  if (!model.offline) return null;
  return (
    <p className="model-note">
      <strong>Offline model:</strong> follows simple rules; set <code>ANTHROPIC_API_KEY</code> or{' '}
      <code>OPENAI_API_KEY</code> for a real one.
    </p>
  );
}
