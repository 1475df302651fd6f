export interface Route {
  method: string;
  pattern: readonly string[];
  /** Without the provider; undefined for what no capability stands for. */
  capability: string | undefined;
  /** Whose text the answer can hold beside that of people who may write to the repository. Undefined: nobody's. */
  texts: 'named' | 'pull' | 'revision' | 'forks' | undefined;
}

const textKinds = ['named', 'pull', 'revision', 'forks'] as const;

/**
 * Below `/repos/{owner}/{repo}`, the first that fits decides. `none` refuses what a later, wider line would allow.
 * GitHub also takes POST where PATCH is documented; POST is listed only where it is documented itself.
 *
 * The last word of a read says whose text can come back: its authors are `named` in the answer; of whoever wrote the
 * `pull` request; of a fork, where the `revision` is none of this repository's own names; of whatever `forks` brought in.
 */
const table = `
none                GET    actions/secrets/*
issue.read          GET    issues                            named
issue.read          GET    issues/:n                         named
issue.read          GET    issues/:n/comments                named
issue.read          GET    issues/:n/events                  named
issue.read          GET    issues/:n/timeline                named
issue.read          GET    issues/:n/labels
issue.read          GET    issues/:n/reactions
issue.read          GET    issues/:n/sub_issues              named
issue.read          GET    issues/comments                   named
issue.read          GET    issues/comments/:n                named
issue.read          GET    issues/comments/:n/reactions
issue.read          GET    issues/events                     named
issue.read          GET    labels
issue.read          GET    labels/:x
issue.read          GET    milestones
issue.read          GET    milestones/:n
issue.read          GET    assignees
pr.read             GET    pulls                             named
pr.read             GET    pulls/comments                    named
pr.read             GET    pulls/comments/:n                 named
pr.read             GET    pulls/comments/:n/reactions
pr.read             GET    pulls/:n                          named
pr.read             GET    pulls/:n/files                    pull
pr.read             GET    pulls/:n/commits                  pull
pr.read             GET    pulls/:n/comments                 named
pr.read             GET    pulls/:n/merge
pr.read             GET    pulls/:n/requested_reviewers
pr.read             GET    pulls/:n/reviews                  named
pr.read             GET    pulls/:n/reviews/:n               named
pr.read             GET    pulls/:n/reviews/:n/comments      named
repo.read           GET
repo.read           GET    readme                            revision
repo.read           GET    readme/*                          revision
repo.read           GET    contents                          revision
repo.read           GET    contents/*                        revision
repo.read           GET    git/blobs/:x                      forks
repo.read           GET    git/trees/*                       revision
repo.read           GET    git/commits/:x                    forks
repo.read           GET    git/tags/:x                       forks
repo.read           GET    git/ref/*
repo.read           GET    git/refs
repo.read           GET    git/refs/*
repo.read           GET    git/matching-refs/*
repo.read           GET    commits                           revision
repo.read           GET    commits/*                         revision
repo.read           GET    branches
repo.read           GET    branches/*
repo.read           GET    compare/*                         revision
repo.read           GET    tarball                           revision
repo.read           GET    tarball/*                         revision
repo.read           GET    zipball                           revision
repo.read           GET    zipball/*                         revision
repo.read           GET    tags
repo.read           GET    languages
repo.read           GET    topics
repo.read           GET    license
repo.read           GET    contributors
workflow.read       GET    actions/runs                      forks
workflow.read       GET    actions/runs/:n                   forks
workflow.read       GET    actions/runs/:n/*                 forks
workflow.read       GET    actions/jobs/:n                   forks
workflow.read       GET    actions/jobs/:n/logs              forks
workflow.read       GET    actions/workflows
workflow.read       GET    actions/workflows/:x
workflow.read       GET    actions/workflows/:x/runs         forks
workflow.read       GET    actions/artifacts                 forks
workflow.read       GET    actions/artifacts/:n              forks
workflow.read       GET    actions/artifacts/:n/zip          forks
workflow.read       GET    check-runs/:n                     forks
workflow.read       GET    check-runs/:n/annotations         forks
workflow.read       GET    check-suites/:n                   forks
workflow.read       GET    check-suites/:n/check-runs        forks
release.read        GET    releases
release.read        GET    releases/:n
release.read        GET    releases/:n/assets
release.read        GET    releases/latest
release.read        GET    releases/tags/*
release.read        GET    releases/assets/:n

issue.create        POST   issues
issue.update        PATCH  issues/:n
comment.write       POST   issues/:n/comments
comment.write       POST   issues/:n/reactions
comment.write       POST   issues/comments/:n/reactions
comment.write       POST   pulls/comments/:n/reactions
comment.delete      DELETE issues/comments/:n
comment.delete      DELETE pulls/comments/:n
label.add           POST   issues/:n/labels
label.remove        DELETE issues/:n/labels
label.remove        DELETE issues/:n/labels/:x
assignee.set        POST   issues/:n/assignees
assignee.set        DELETE issues/:n/assignees

pr.create           POST   pulls
pr.close            PATCH  pulls/:n
pr.update           POST   pulls/:n/requested_reviewers
pr.update           DELETE pulls/:n/requested_reviewers
pr.review.write     POST   pulls/:n/comments
pr.review.write     POST   pulls/:n/comments/:n/replies
pr.review.write     POST   pulls/:n/reviews
pr.review.write     PUT    pulls/:n/reviews/:n
pr.review.write     POST   pulls/:n/reviews/:n/events
pr.merge            PUT    pulls/:n/merge
repo.push.pr_head   PUT    pulls/:n/update-branch

repo.push           POST   git/blobs
repo.push           POST   git/trees
repo.push           POST   git/commits
repo.push           POST   git/tags
repo.branch.create  POST   git/refs
repo.push.default   PATCH  git/refs/heads/*
repo.branch.delete  DELETE git/refs/heads/*
none                PUT    contents/.github/*
repo.push.default   PUT    contents/*
none                DELETE contents/.github/*
repo.push.default   DELETE contents/*
repo.push.default   POST   merges
repo.push.default   POST   merge-upstream

workflow.dispatch   POST   dispatches
workflow.dispatch   POST   actions/workflows/:x/dispatches
workflow.dispatch   POST   actions/runs/:n/rerun
workflow.dispatch   POST   actions/runs/:n/rerun-failed-jobs
workflow.dispatch   POST   actions/runs/:n/cancel
workflow.dispatch   POST   actions/jobs/:n/rerun
release.create      POST   releases
`;

/**
 * Where the body decides and is not seen, the strictest reading counts: `PATCH pulls/:n` can close, a `contents` write
 * without `branch` goes to the default branch. Which branches are the agent's own, the gate knows: see `changes`. Replacing all labels, editing comments, tags, and `.github/` through
 * `contents` have no line: they would go round a capability that an admin set otherwise.
 */
export const repositoryRoutes: readonly Route[] = table
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => {
    const [capability = '', method = '', pattern, texts] = line.split(/ +/);
    return {
      method,
      pattern: pattern ? pattern.split('/') : [],
      capability: capability === 'none' ? undefined : capability,
      texts: textKinds.find((kind) => kind === texts),
    };
  });
