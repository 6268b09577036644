/** Returns the claims of a JWT, unverified; undefined for any other token. */
export function claims(token: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/"))) as Record<string, unknown>
  } catch {
    return undefined
  }
}

/**
 * Returns the claims that identify a user and its rights: all but those that a renewal changes. For a token that is no JWT
 * the result contains the token.
 */
export function identity(token: string): string {
  const { exp, nbf, iat, jti, ...rest } = claims(token) ?? { token }
  return JSON.stringify(rest)
}
