import { answerError, TriviumError } from "./error.js"
import { backoff, startTimer } from "./timer.js"
import type { Tokens } from "./tokens.js"

export interface PublishOptions {
  type?: string
  key?: string
  /** Another publish with the same key within two minutes has no effect. Default: a random key. */
  idempotencyKey?: string
}

/** Publishes data as JSON, or a Uint8Array as binary data, and resolves with the event's id. */
export type Publish = (topic: string, data: unknown, options?: PublishOptions) => Promise<string>

interface Waiting {
  body: string
  key: string
  /** When the hub may have forgotten the key, in milliseconds since 1970; Infinity while no attempt can have succeeded. */
  until: number
  /** Whether another token was tried after the hub refused one. */
  renewed: boolean
  done(id: string): void
  failed(why: unknown): void
}

/** The limit of all waiting bodies, in UTF-16 code units. One body may be larger. */
const maxWaiting = 4 << 20
/** Milliseconds that a request may take, and the bytes per millisecond by which a larger body gets more. */
const requestTimeout = 30_000
const bodyRate = 32
/** Milliseconds for which an event is retried that the hub may have accepted. It remembers the key for 120 s. */
const keyLife = 110_000
/** The longest wait that a hub can ask for, in milliseconds. */
const maxAsked = 600_000

/**
 * Publishes events one after the other, and retries what failed for a time. The idempotency key prevents that a retry
 * publishes an event twice.
 */
export class Publisher {
  #queue: Waiting[] = []
  #size = 0
  #closed = false
  #abort = new AbortController() // of the current request
  #wake = () => {} // ends the wait before a retry

  constructor(
    private _url: string,
    private _limit: number,
    private _maxWait: number,
    private _tokens: Tokens,
  ) {}

  _publish: Publish = (topic, data, { type, key, idempotencyKey } = {}) =>
    new Promise((done, failed) => {
      const payload = data instanceof Uint8Array ? { data_base64: base64(data) } : { data: data ?? null }
      const body = JSON.stringify({ topic, type, key, ...payload })
      // Not every platform has crypto.randomUUID, as pages without HTTPS. The keys of one token suffice to differ.
      const random = () => Math.random().toString(36).slice(2)
      const w = { body, key: idempotencyKey ?? random() + random(), until: Infinity, renewed: false, done, failed }
      new Headers({ "idempotency-key": w.key }) // throws if it cannot be a header
      const { length } = this.#queue
      if (this.#closed) return failed(closedError())
      if (length >= this._limit || (length && this.#size + body.length > maxWaiting)) {
        return failed(new TriviumError(length + " publishes are waiting", "queue-full"))
      }
      this.#size += body.length
      this.#queue.push(w)
      if (!length) void this.#run()
    })

  _close(): void {
    this.#closed = true
    this.#abort.abort()
    this.#wake()
    for (const { failed } of this.#queue) failed(closedError())
  }

  async #run(): Promise<void> {
    for (let w; (w = this.#queue[0]) && !this.#closed; this.#queue.shift()) {
      await this.#send(w).then(w.done, w.failed)
      this.#size -= w.body.length
    }
  }

  async #send(w: Waiting): Promise<string> {
    for (let tries = 0; ; tries++) {
      let wait = backoff(tries, this._maxWait)
      try {
        return await this.#attempt(w)
      } catch (e) {
        if (this.#closed) throw closedError()
        // Other errors come from fetch or from getToken, and may pass.
        if (e instanceof TriviumError) {
          if (!e.temporary || e.code === "options" || [413, 414, 415, 431].includes(e.status)) throw e
          wait = Math.min(e.retryAfter, maxAsked) || wait
        }
        if (Date.now() + wait > w.until) throw e
      }
      await new Promise<void>((done) => {
        const stop = startTimer(wait, done)
        this.#wake = () => {
          stop()
          done()
        }
      })
    }
  }

  async #attempt(w: Waiting): Promise<string> {
    const token = await this._tokens._get()
    const begin = Date.now()
    if (this.#closed) throw closedError()
    // The device may have slept.
    if (begin > w.until) throw new TriviumError("no answer in time; the event may have been published", "key-expired")
    const headers: Record<string, string> = { "content-type": "application/json", "idempotency-key": w.key }
    if (token) headers.authorization = "Bearer " + token
    const abort = (this.#abort = new AbortController())
    const stop = startTimer(Math.min(requestTimeout + w.body.length / bodyRate, w.until - begin), () => abort.abort())
    try {
      const answer = await fetch(this._url, { method: "POST", body: w.body, headers, signal: abort.signal })
      const id = answer.ok && ((await answer.json()) as { id?: string }).id
      if (id) return id
      const error = await answerError(answer)
      if (error.status !== 401 || !error.code || w.renewed || !this._tokens._refuse(token)) throw error
      w.renewed = true
      throw new TriviumError(error.message, error.code, 425) // temporary: there may be another token
    } catch (e) {
      // Unless the hub refused it, it may have accepted it when the attempt began.
      if (!(e instanceof TriviumError && e.code)) w.until = Math.min(w.until, begin + keyLife)
      throw e
    } finally {
      stop()
    }
  }
}

function closedError(): TriviumError {
  return new TriviumError("the client was closed", "closed")
}

function base64(bytes: Uint8Array): string {
  let text = ""
  for (const b of bytes) text += String.fromCharCode(b)
  return btoa(text)
}
