import { claims } from "./claims.js"
import type { core } from "./core.js"
import { backoff, checkToken, inject, startTimer, TriviumError } from "./injected.js"
import type { Token } from "./options.js"
import type { Client } from "./state.js"
import type { Timer } from "./timer.js"

/** Milliseconds that getToken may take. */
const getTokenTimeout = 30_000

/** Renews the token of a client before it expires. */
export interface Renewal {
  /** Resolves with the token. Calls `getToken` if there is no token yet, or if the hub has refused it. */
  _get(): Promise<string>
  /** Records that the hub refused a token. Reports whether another token may be available. */
  _refuse(token: string): boolean
  /** Records that the hub accepted the token, and schedules its renewal. */
  _accepted(): void
  /** Renews the token soon, because the hub refused the last renewal or `getToken` failed. */
  _retry(): void
  _close(): void
}

function newRenewal({ _auth: auth, _options: { getToken, maxWait }, _renewed: onRenewed }: Client): Renewal {
  let usable = false // whether there is a token that the hub has not refused
  let renewAt = 0 // milliseconds since 1970; 0: the token has no known expiry
  let failures = 0
  let call: Promise<string> | undefined
  let timer: Timer
  let closed = false

  const ask = async () => {
    const given = await new Promise<Token>((done, failed) => {
      const stop = startTimer(getTokenTimeout, () => failed(new TriviumError("getToken did not answer", "network")))
      void Promise.resolve().then(getToken).then(done, failed).finally(stop)
    })
    const { token = "", expires } = typeof given === "string" ? { token: given, expires: undefined } : ((given ?? {}) as Partial<Exclude<Token, string>>)
    const value = checkToken(token)
    const now = Date.now()
    const life = Number(expires ?? Number(claims(value)?.exp) * 1000) - now
    // The token is renewed after 80 % of its life, or a minute before its end if that is later. The wait is at least one
    // second, or five seconds if getToken has returned the same token again, but not longer than the life.
    renewAt = life > 0 ? now + Math.max(life - 60_000, life * 0.8, Math.min(value === auth._token ? 5000 : 1000, life)) : 0
    usable = true
    return (auth._token = value)
  }
  const fetchToken = () => (call ??= ask().finally(() => (call = undefined)))
  const retry = () => renewIn(backoff(failures++, maxWait))
  const renewIn = (ms: number) => {
    timer?.()
    if (closed) return
    timer = startTimer(ms, () => {
      const before = auth._token
      fetchToken().then((token) => {
        schedule()
        if (token !== before) onRenewed(token)
      }, retry)
    })
  }
  const schedule = () => {
    if (renewAt) renewIn(renewAt - Date.now())
  }
  return {
    _get: async () => (usable ? auth._token : fetchToken()),
    _refuse(token) {
      if (token === auth._token) usable = false
      return !usable || token !== auth._token
    },
    _accepted() {
      failures = 0
      schedule()
    },
    _retry: retry,
    _close() {
      closed = true
      timer?.()
    },
  }
}

/** The part that renews the token of a client with `getToken`. */
export default (c: typeof core) => {
  inject(c)
  return { _newRenewal: newRenewal }
}
