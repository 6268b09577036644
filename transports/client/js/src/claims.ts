/** Returns the claims of a JWT, unverified; undefined for any other token. */
export function claims(token: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/"))) as Record<string, unknown>
  } catch {
    return undefined
  }
}

/**
 * Returns the claims that identify a user and its rights: all claims except those that change when a token is renewed. For
 * a token that is not a JWT, the result contains the token.
 */
export function identity(token: string): string {
  const { exp, nbf, iat, jti, ...rest } = claims(token) ?? { token }
  return JSON.stringify(rest)
}
