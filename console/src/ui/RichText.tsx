import { useState } from 'react';
import { type Flavor, type Inline, parseMarkdown } from '../text/markdown.ts';

const shownChars = 4_000;

/** Text from anyone, shown as what it is: React elements made from it, never HTML. Very long text starts folded. */
export function RichText({ text, flavor = 'markdown' }: { text: string; flavor?: Flavor }) {
  const [open, setOpen] = useState(false);
  const folded = !open && text.length > shownChars + 500;
  return (
    <div className="rich-text">
      {parseMarkdown(folded ? text.slice(0, shownChars) : text, flavor).map((block, index) =>
        block.kind === 'code' ? (
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard
          <pre key={keyOf(index)} tabIndex={0}>
            <code>{block.text}</code>
          </pre>
        ) : (
          <p key={keyOf(index)}>{block.children.map(inlineElement)}</p>
        ),
      )}
      {folded && (
        <button type="button" className="link-button" onClick={() => setOpen(true)}>
          Show all {text.length.toLocaleString('en')} characters
        </button>
      )}
    </div>
  );
}

function inlineElement(inline: Inline, index: number) {
  if (inline.kind === 'code') return <code key={keyOf(index)}>{inline.text}</code>;
  if (inline.kind === 'bold') return <strong key={keyOf(index)}>{inline.children.map(inlineElement)}</strong>;
  return inline.text;
}

// The parts of a text have no identity but their place in it.
function keyOf(index: number): string {
  return `part-${index}`;
}
