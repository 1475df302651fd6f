import { expect, it } from 'vitest';
import { ownComments } from '../../console/src/linear/own-comments.ts';
import { busyWorkplace } from './support/workplace-data.ts';

it('shows what people wrote, and not what Linear made of a delegation or of a session', () => {
  const [issue] = busyWorkplace(0).linear.issues;
  const said = issue?.sessions[0]?.activities[0];
  if (!issue || !said) throw new Error('The state of the tests has no activity.');
  const maya = { ...said.author, name: 'Maya' };
  const comments = [
    { id: '1', author: maya, body: 'This thread is for an agent session with ada.' },
    { id: '2', author: said.author, body: said.body },
    { id: '3', author: maya, body: 'Please also look at /var.' },
  ];
  expect(ownComments({ ...issue, comments }).map(({ body }) => body)).toEqual(['Please also look at /var.']);
});
