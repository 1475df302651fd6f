import { commentOnGithubIssue, labelGithubIssue } from '../api.ts';
import { useSubmit } from '../live/useSubmit.ts';
import { githubPresence } from '../presence.ts';
import type { ToolProps } from '../tool.ts';
import { Composer } from '../ui/Composer.tsx';
import { ErrorNote } from '../ui/ErrorNote.tsx';
import { IssueHead } from '../ui/IssueHead.tsx';
import { Post } from '../ui/Post.tsx';
import { Reactions } from '../ui/Reactions.tsx';
import { RichText } from '../ui/RichText.tsx';
import { useBottom } from '../ui/useBottom.ts';
import { WaitNote } from '../ui/WaitNote.tsx';
import type { GithubIssue } from '../workplace-api.ts';
import { Labels } from './Labels.tsx';

export interface IssueViewProps extends ToolProps {
  issue: GithubIssue;
  back: () => void;
}

/** One GitHub issue: its labels, its text, its comments, and a field to comment in. */
export function IssueView({ state, person, refresh, issue, back }: IssueViewProps) {
  const { agent, people } = state;
  const labelling = useSubmit();
  const presence = githubPresence(issue, agent);
  const box = useBottom(`${issue.number}`, issue);
  const labelled = issue.labels.includes(agent.label);

  const label = () =>
    labelling.run(async () => {
      await labelGithubIssue(person.id, issue, [agent.label]);
      refresh();
    });
  const comment = async (body: string) => {
    await commentOnGithubIssue(person.id, issue, body);
    refresh();
  };

  return (
    <>
      <IssueHead reference={`#${issue.number}`} title={issue.title} back={back}>
        <Labels labels={issue.labels} agent={agent} />
        {!labelled && (
          <button type="button" className="button button-primary" onClick={label} disabled={labelling.busy}>
            {labelling.busy ? 'Adding…' : `Add label “${agent.label}”`}
          </button>
        )}
        <ErrorNote message={labelling.error} />
      </IssueHead>
      <div className="panel-scroll" ref={box} role="log" aria-label={`Comments on #${issue.number}`}>
        <Post author={issue.author} people={people} kind="opened this issue">
          {issue.body.trim() === '' ? (
            <p className="muted">No description.</p>
          ) : (
            <RichText text={issue.body} />
          )}
          <Reactions reactions={issue.reactions} />
        </Post>
        {issue.comments.map((item) => (
          <Post key={item.id} author={item.author} people={people}>
            <RichText text={item.body} />
            <Reactions reactions={item.reactions} />
          </Post>
        ))}
        <WaitNote presence={presence} agent={agent} />
        {!labelled && presence.asked === undefined && issue.comments.length === 0 && (
          <p className="wait-note">
            Add the label, or mention {agent.githubHandle} in a comment, and {agent.name} starts.
          </p>
        )}
      </div>
      <Composer
        draftKey={`github.${issue.owner}/${issue.repo}#${issue.number}`}
        label={`Comment on #${issue.number}`}
        examples={
          presence.asked === undefined && issue.comments.length > 0
            ? [`${agent.githubHandle} what did I ask first?`]
            : []
        }
        sendLabel="Comment"
        send={comment}
      />
    </>
  );
}
