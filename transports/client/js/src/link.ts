import { problemError, TriviumError } from "./error.js"
import type { TransportName } from "./options.js"
import { startTimer, type Timer } from "./timer.js"
import { connectionLost, type Connection, type Message } from "./transport.js"
import { authRef } from "./ws.js"

/** What a Link reports to its client. */
export interface LinkEvents {
  /** The subscription has started. */
  _opened(): void
  /** The hub refused a renewed token. The old one stays in force. */
  _tokenRefused(): void
  /** Resolves when the program has taken the message. */
  _deliver(m: Message): Promise<void>
}

/** One connection of a client, and the watchdog that ends it when it is silent. */
export class Link implements Connection {
  _isOpen = false
  _openSince = 0
  /** The wait before the next connection that the stream asked for, in milliseconds; 0: none. */
  _retry = 0
  _renew?: (token: string) => void
  _reason: unknown
  readonly _pollWait: number
  #abort = new AbortController()
  #lastHeard = Date.now()
  #delivering = false // nothing is read meanwhile
  #heartbeat = 0 // milliseconds; 0: not announced
  #watchdog: Timer

  constructor(
    readonly _transport: TransportName,
    public _token: string,
    readonly _cursor: string,
    readonly _url: Connection["_url"],
    private _limits: { silence: number; openTimeout: number },
    private _events: LinkEvents,
  ) {
    // 5/8 of the silence limit; the rest is for the hub and the network. A hub holds a poll for at most 25 seconds.
    this._pollWait = Math.max(1, Math.min(25, Math.floor(_limits.silence / 1600)))
    this.#watch()
  }

  get _signal(): AbortSignal {
    return this.#abort.signal
  }

  _heard(): void {
    this.#lastHeard = Date.now()
  }

  /** Ends the connection. Only the first reason counts. */
  _end(reason: unknown): void {
    this.#watchdog?.()
    if (!this._signal.aborted) this._reason = reason
    this.#abort.abort(reason)
  }

  /** Whether a heartbeat should have arrived by now. */
  get _isQuiet(): boolean {
    return this._isOpen && !this.#delivering && Date.now() - this.#lastHeard > this.#silence() / 2.5
  }

  async _receive(m: Message): Promise<void> {
    const { op } = m
    if (op === "error") {
      if (m.ref === undefined) throw problemError(m as object, m.retry_ms || this._retry)
      if (m.ref === authRef) this._events._tokenRefused()
    } else if (op === "goaway") {
      throw new TriviumError("the hub drains", "draining", 503, m.retry_ms)
    } else if (op === "open") {
      if (this._signal.aborted) throw this._reason
      this._isOpen = true
      this._openSince = Date.now()
      this._retry = m.retry_ms || 0
      this.#heartbeat = m.heartbeat_ms || 0
      this.#watch() // by another limit from now on
      this._events._opened()
    } else if (!this._isOpen) {
      throw new TriviumError("the stream does not begin as a hub's", "")
    }
    // Messages of later versions of the protocol are ignored.
    if (!["open", "event", "gap", "heartbeat", "position", "live", "end"].includes(op)) return
    this.#delivering = true
    await this._events._deliver(m)
    this.#delivering = false
    this._heard()
  }

  #silence(): number {
    if (this._transport === "poll") return Math.max(this._limits.silence, this._pollWait * 1600)
    return this.#heartbeat ? Math.max(1000, 2.5 * this.#heartbeat) : this._limits.silence
  }

  #watch(): void {
    this.#watchdog?.()
    const limit = this._isOpen ? this.#silence() : this._limits.openTimeout
    const quiet = this.#delivering ? 0 : Date.now() - this.#lastHeard
    if (quiet >= limit) this._end(connectionLost("nothing arrived for " + quiet + " ms"))
    else this.#watchdog = startTimer(limit - quiet, () => this.#watch())
  }
}
