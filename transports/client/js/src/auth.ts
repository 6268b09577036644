import { closedError } from "./error.js"
import { load } from "./load.js"
import type { Client } from "./state.js"
import type { Renewal } from "./token.js"

/** The token of a client ("" for none), and its renewal if the client has a `getToken`. */
export interface Auth {
  _token: string
  _renewal?: Renewal
}

/** Resolves with the token. Calls `getToken` if there is no token yet, or if the hub has refused it. */
export async function currentToken(c: Client): Promise<string> {
  const auth = c._auth
  if (!c._options.getToken) return auth._token
  const part = await load("token")
  if (c._closed) throw closedError()
  return (auth._renewal ??= part._newRenewal(c))._get()
}
