import { type FormEvent, type KeyboardEvent, useId, useRef } from 'react';
import { useStored } from '../live/useStored.ts';
import { useSubmit } from '../live/useSubmit.ts';
import { ErrorNote } from './ErrorNote.tsx';

export interface IssueDraft {
  title: string;
  text: string;
  /** Whether the agent is to start on it at once. */
  tagged: boolean;
}

export interface IssueFormProps {
  draftKey: string;
  initial: { title: string; text: string };
  textLabel: string;
  tagLabel: string;
  tagHint: string;
  submitLabel: string;
  submit: (draft: IssueDraft) => Promise<unknown>;
  /** Absent when there is nothing to go back to. */
  cancel?: (() => void) | undefined;
}

/** The form of a new issue, the same for both trackers. What was typed stays until the issue exists. */
export function IssueForm(props: IssueFormProps) {
  const { draftKey, initial, textLabel, tagLabel, tagHint, submitLabel, submit, cancel } = props;
  const id = useId();
  const form = useRef<HTMLFormElement>(null);
  const [title, setTitle] = useStored(`draft.${draftKey}.title`, initial.title);
  const [text, setText] = useStored(`draft.${draftKey}.text`, initial.text);
  const [tagged, setTagged] = useStored(`draft.${draftKey}.tagged`, 'yes');
  const { busy, error, run } = useSubmit();

  const onSubmit = async (event: FormEvent) => {
    event.preventDefault();
    const draft = { title: title.trim(), text, tagged: tagged === 'yes' };
    if (await run(() => submit(draft))) {
      setTitle('');
      setText('');
      setTagged(undefined);
    }
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.current?.requestSubmit();
  };

  return (
    <form className="issue-form" ref={form} onSubmit={onSubmit} onKeyDown={onKeyDown}>
      <label htmlFor={`${id}-title`}>Title</label>
      <input
        id={`${id}-title`}
        value={title}
        required
        readOnly={busy}
        autoComplete="off"
        onChange={(event) => setTitle(event.target.value)}
      />
      <label htmlFor={`${id}-text`}>{textLabel}</label>
      <textarea
        id={`${id}-text`}
        rows={4}
        value={text}
        readOnly={busy}
        onChange={(event) => setText(event.target.value)}
      />
      <div className="check">
        <input
          id={`${id}-tagged`}
          type="checkbox"
          checked={tagged === 'yes'}
          aria-describedby={`${id}-hint`}
          onChange={(event) => setTagged(event.target.checked ? 'yes' : 'no')}
        />
        <div>
          <label htmlFor={`${id}-tagged`}>{tagLabel}</label>
          <p id={`${id}-hint`}>{tagHint}</p>
        </div>
      </div>
      <div className="form-actions">
        <button type="submit" className="button button-primary" disabled={busy || title.trim() === ''}>
          {busy ? 'Sending…' : submitLabel}
        </button>
        {cancel && (
          <button type="button" className="button" onClick={cancel}>
            Cancel
          </button>
        )}
      </div>
      <ErrorNote message={error} />
    </form>
  );
}
