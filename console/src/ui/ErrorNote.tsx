/** What went wrong, beside the control that it is about. */
export function ErrorNote({ message }: { message: string | undefined }) {
  // The alert must be in the page before its words are, or some screen readers stay silent.
  return (
    <div role="alert" className={message === undefined ? 'error-note-empty' : 'error-note'}>
      {message}
    </div>
  );
}
