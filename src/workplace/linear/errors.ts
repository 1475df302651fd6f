import { GraphQLError } from 'graphql';

const kinds = {
  invalid_input: { type: 'invalid input', code: 'INPUT_ERROR', statusCode: 400 },
  forbidden: { type: 'forbidden', code: 'FORBIDDEN', statusCode: 403 },
  unauthenticated: { type: 'authentication error', code: 'AUTHENTICATION_ERROR', statusCode: 401 },
} as const;

/** An error as Linear writes it; `extensions.type` is what the SDK makes its error classes from. */
export function linearError(kind: keyof typeof kinds, message: string): GraphQLError {
  return new GraphQLError(message, {
    extensions: { ...kinds[kind], userError: true, userPresentableMessage: message },
  });
}

/** What Linear says of an id that nothing has. */
export function notFound(entity: string): GraphQLError {
  return linearError('invalid_input', `Entity not found: ${entity} - Could not find referenced ${entity}.`);
}
