import { providerTitles } from '../publications/words.ts';
import type { Approval } from './api.ts';
import { approvalStates, askerWords, momentWords, untilWords } from './words.ts';

/** One request in the list. */
export function ApprovalItem({ approval }: { approval: Approval }) {
  const { id, provider, publication_name: name, state } = approval;
  const { words, tone } = approvalStates[state];
  return (
    <li>
      <a className="publication-item" href={`/approvals/${id}`}>
        <span className={`provider-mark provider-${provider}`}>{providerTitles[provider]}</span>
        <span className="publication-name">
          <strong>{approval.capability_words}</strong>
          <span className="muted">
            {name}, for {askerWords(approval)}
            {state === 'waiting'
              ? `; ends ${untilWords(approval.expires_at, Date.now())}`
              : `; ${momentWords(approval.decided_at ?? approval.created_at)}`}
          </span>
        </span>
        <span className={`state-pill state-${tone}`}>{words}</span>
      </a>
    </li>
  );
}
