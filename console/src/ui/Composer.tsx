import { type FormEvent, type KeyboardEvent, useId, useRef } from 'react';
import { useStored } from '../live/useStored.ts';
import { useSubmit } from '../live/useSubmit.ts';
import { ErrorNote } from './ErrorNote.tsx';

export interface ComposerProps {
  /** Names the draft, which is kept until it was sent. */
  draftKey: string;
  label: string;
  /** Shown text that the field starts with. */
  initial?: string;
  sendLabel: string;
  /** Enter sends and Shift+Enter makes a line, as in a chat; else Ctrl+Enter sends. */
  enterSends?: boolean;
  /** One line that grows, its button shown once it is in use. */
  compact?: boolean;
  /** Texts to put into the field by one click. */
  examples?: string[];
  send: (text: string) => Promise<unknown>;
}

/** A field to write a message in. What was typed stays until it has arrived. */
export function Composer(props: ComposerProps) {
  const {
    draftKey,
    label,
    initial = '',
    sendLabel,
    enterSends = false,
    compact = false,
    examples = [],
  } = props;
  const id = useId();
  const field = useRef<HTMLTextAreaElement>(null);
  const [text, setText] = useStored(`draft.${draftKey}`, initial);
  const { busy, error, run } = useSubmit();
  const empty = text.trim() === '';

  const submit = async (event?: FormEvent) => {
    event?.preventDefault();
    if (empty) return;
    if (await run(() => props.send(text))) {
      setText('');
      field.current?.focus();
    }
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.nativeEvent.isComposing) return;
    const sends = enterSends ? !event.shiftKey : event.ctrlKey || event.metaKey;
    if (!sends) return;
    event.preventDefault();
    void submit();
  };

  const fill = (example: string) => {
    setText(example);
    field.current?.focus();
  };

  return (
    <form className={compact ? 'composer composer-compact' : 'composer'} onSubmit={submit}>
      {examples.length > 0 && empty && (
        <div className="examples">
          <span>Try:</span>
          {examples.map((example) => (
            <button type="button" key={example} onClick={() => fill(example)}>
              {example}
            </button>
          ))}
        </div>
      )}
      <label className="visually-hidden" htmlFor={id}>
        {label}
      </label>
      <div className={empty ? 'composer-box' : 'composer-box composer-box-filled'}>
        <textarea
          id={id}
          ref={field}
          rows={compact ? 1 : 2}
          placeholder={label}
          value={text}
          readOnly={busy}
          aria-busy={busy}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={onKeyDown}
        />
        <button type="submit" className="button button-primary" disabled={empty || busy}>
          {busy ? 'Sending…' : sendLabel}
        </button>
      </div>
      <ErrorNote message={error} />
    </form>
  );
}
