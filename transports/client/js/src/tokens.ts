import { TriviumError } from "./error.js"
import { claims, type Options, type Token } from "./options.js"
import { backoff, startTimer, type Timer } from "./timer.js"

/** Milliseconds that getToken may take. */
const getTokenTimeout = 30_000

/** Throws if a text cannot be a token. The error does not contain it. */
function checkToken(value: string): string {
  if (/^[\w.~-]{1,8192}$/.test(value)) return value
  throw new TriviumError("token: want 1 to 8192 of the characters A-Z a-z 0-9 - . _ ~", "options")
}

/** The current token, which is renewed in time if the program gave `getToken`. */
export class Tokens {
  _value = ""
  #usable: boolean // as far as is known
  #renewAt = 0 // milliseconds since 1970; 0: the token has no known expiry
  #failures = 0
  #call: Promise<string> | undefined
  #timer: Timer
  #closed = false

  constructor(
    private _options: Options,
    private _maxWait: number,
    private _onRenewed: (token: string) => void,
  ) {
    if (_options.token) this._value = checkToken(_options.token.trim())
    this.#usable = !_options.getToken
  }

  /** Resolves with the token, and fetches one if there is none or the hub refused it. */
  _get = async (): Promise<string> => (this.#usable ? this._value : this.#fetch())

  /** Notes that the hub refused a token. Returns whether there can be another one. */
  _refuse = (token: string): boolean => {
    if (token === this._value) this.#usable = !this._options.getToken
    return !this.#usable || token !== this._value
  }

  /** Notes that the hub accepted the token, and renews it when it is due. */
  _accepted(): void {
    this.#failures = 0
    this.#schedule()
  }

  /** Renews the token soon, because the hub refused the last renewal or `getToken` failed. */
  _retry(): void {
    if (this._options.getToken) this.#renewIn(backoff(this.#failures++, this._maxWait))
  }

  _close(): void {
    this.#closed = true
    this.#timer?.()
  }

  #schedule(): void {
    if (this.#renewAt) this.#renewIn(this.#renewAt - Date.now())
  }

  #fetch(): Promise<string> {
    return (this.#call ??= this.#ask().finally(() => (this.#call = undefined)))
  }

  async #ask(): Promise<string> {
    const given = await new Promise<Token>((done, failed) => {
      const stop = startTimer(getTokenTimeout, () => failed(new TriviumError("getToken did not answer", "network")))
      void Promise.resolve().then(this._options.getToken).then(done, failed).finally(stop)
    })
    const { token, expires } = typeof given === "string" ? { token: given, expires: undefined } : given
    const value = checkToken(token.trim())
    const now = Date.now()
    const life = Number(expires ?? Number(claims(value)?.exp) * 1000) - now
    // The token is renewed after 80 % of its life, or a minute before its end if that is later. If getToken returns
    // the same token again, it is asked less often.
    this.#renewAt = life > 0 ? now + Math.max(life - 60_000, life * 0.8, Math.min(value === this._value ? 5000 : 1000, life)) : 0
    this._value = value
    this.#usable = true
    return value
  }

  #renewIn(ms: number): void {
    this.#timer?.()
    if (this.#closed) return
    this.#timer = startTimer(ms, () => {
      const before = this._value
      this.#fetch().then(
        (token) => {
          this.#schedule()
          if (token !== before) this._onRenewed(token)
        },
        () => this._retry(),
      )
    })
  }
}
