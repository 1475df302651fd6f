import { pressSlackButton } from '../api.ts';
import { useSubmit } from '../live/useSubmit.ts';
import { ErrorNote } from '../ui/ErrorNote.tsx';
import type { SlackButton } from '../workplace-api.ts';

export interface ButtonsProps {
  buttons: SlackButton[];
  channel: string;
  ts: string;
  personId: string;
  refresh(): void;
}

/** The buttons under a message, pressed as the person whom the page speaks for. */
export function Buttons({ buttons, channel, ts, personId, refresh }: ButtonsProps) {
  const { busy, error, run } = useSubmit();
  const press = (value: string) =>
    run(async () => {
      await pressSlackButton({ personId, channel, ts, value });
      refresh();
    });
  return (
    <div className="post-buttons">
      {buttons.map(({ label, value }) => (
        <button
          key={value}
          type="button"
          className="button"
          disabled={busy}
          onClick={() => void press(value)}
        >
          {label}
        </button>
      ))}
      <ErrorNote message={error} />
    </div>
  );
}
