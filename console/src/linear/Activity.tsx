import { clockTime } from '../text/time.ts';
import { Post } from '../ui/Post.tsx';
import { RichText } from '../ui/RichText.tsx';
import type { LinearActivity, WorkplaceState } from '../workplace-api.ts';

const steps: Record<string, string> = { thought: 'Thought', action: 'Action' };
const kinds: Record<string, string> = { elicitation: 'asks', error: 'failed' };

/** One activity: a quiet line for what the agent thinks and does on the way, a post for what it says. */
export function Activity({ activity, state }: { activity: LinearActivity; state: WorkplaceState }) {
  const time = clockTime(new Date(activity.createdAt));
  const step = steps[activity.type];
  if (step !== undefined) {
    return (
      <div className={`step step-${activity.type}`}>
        <span className="step-kind">{step}</span>
        <RichText text={activity.body} />
      </div>
    );
  }
  const kind = kinds[activity.type];
  return (
    <Post
      author={activity.author}
      people={state.people}
      time={time}
      {...(kind === undefined ? {} : { kind })}
      variant={`activity-${activity.type}`}
    >
      <RichText text={activity.body} />
    </Post>
  );
}
