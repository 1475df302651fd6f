import { delegateLinearIssue, promptLinearSession } from '../api.ts';
import { useSubmit } from '../live/useSubmit.ts';
import type { ToolProps } from '../tool.ts';
import { Composer } from '../ui/Composer.tsx';
import { ErrorNote } from '../ui/ErrorNote.tsx';
import { IssueHead } from '../ui/IssueHead.tsx';
import { Post } from '../ui/Post.tsx';
import { RichText } from '../ui/RichText.tsx';
import { useBottom } from '../ui/useBottom.ts';
import type { LinearIssue } from '../workplace-api.ts';
import { ownComments } from './own-comments.ts';
import { Session } from './Session.tsx';

export interface IssueViewProps extends ToolProps {
  issue: LinearIssue;
  back: () => void;
}

/** One Linear issue: its text, the agent's sessions on it, and a field to write to the latest one. */
export function IssueView({ state, person, refresh, issue, back }: IssueViewProps) {
  const { agent, people } = state;
  const delegating = useSubmit();
  const box = useBottom(issue.id, issue);
  const latest = issue.sessions.at(-1);

  const delegate = () =>
    delegating.run(async () => {
      await delegateLinearIssue(person.id, issue.id);
      refresh();
    });
  const prompt = async (sessionId: string, body: string) => {
    await promptLinearSession(person.id, sessionId, body);
    refresh();
  };

  return (
    <>
      <IssueHead reference={issue.identifier} title={issue.title} back={back}>
        <span>{issue.state}</span>
        {issue.delegate ? (
          <span>delegated to {issue.delegate}</span>
        ) : (
          <button
            type="button"
            className="button button-primary"
            onClick={delegate}
            disabled={delegating.busy}
          >
            {delegating.busy ? 'Delegating…' : `Delegate to ${agent.name}`}
          </button>
        )}
        <ErrorNote message={delegating.error} />
      </IssueHead>
      <div className="panel-scroll" ref={box} role="log" aria-label={`Sessions on ${issue.identifier}`}>
        {issue.description.trim() !== '' && (
          <div className="linear-description">
            <RichText text={issue.description} />
          </div>
        )}
        {issue.sessions.map((session) => (
          <Session key={session.id} session={session} state={state} />
        ))}
        {ownComments(issue).map((comment) => (
          <Post key={comment.id} author={comment.author} people={people} kind="commented">
            <RichText text={comment.body} />
          </Post>
        ))}
        {latest === undefined && (
          <p className="wait-note">
            {issue.delegate
              ? `Delegated. Waiting for ${agent.name}…`
              : `Delegate the issue, and ${agent.name} starts.`}
          </p>
        )}
      </div>
      {latest !== undefined && (
        <Composer
          key={latest.id}
          draftKey={`linear.${latest.id}`}
          label={`Message ${agent.name}`}
          examples={latest.status === 'complete' ? ['What did I ask first?'] : []}
          sendLabel="Send"
          enterSends
          send={(body) => prompt(latest.id, body)}
        />
      )}
    </>
  );
}
