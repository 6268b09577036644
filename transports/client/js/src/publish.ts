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
  done(id: string): void
  failed(why: unknown): void
}

/** The limit of all waiting bodies, in UTF-16 code units. One body may be larger. */
const maxWaiting = 4 << 20
const requestTimeout = 30_000

/**
 * Publishes events one after the other, and retries what failed for a time. The idempotency key prevents that a retry
 * publishes an event twice.
 */
export class Publisher {
  #queue: Waiting[] = []
  #size = 0
  #closed = false
  #abort = new AbortController() // of the current request

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
      const { length } = this.#queue
      if (this.#closed) return failed(closedError())
      if (length >= this._limit || (length && this.#size + body.length > maxWaiting)) {
        return failed(new TriviumError(length + " publishes are waiting", "queue-full"))
      }
      this.#size += body.length
      this.#queue.push({ body, key: idempotencyKey ?? crypto.randomUUID(), done, failed })
      if (!length) void this.#run()
    })

  _close(): void {
    this.#closed = true
    this.#abort.abort()
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
      let asked = 0
      try {
        return await this.#attempt(w)
      } catch (e) {
        // Other errors come from fetch or from getToken. A 401 is temporary if there can be another token.
        if (e instanceof TriviumError) {
          if (!e.temporary) throw e
          asked = e.retryAfter
        }
      }
      if (this.#closed) throw closedError()
      await new Promise((resume) => setTimeout(resume, asked || backoff(tries, this._maxWait)))
    }
  }

  async #attempt({ body, key }: Waiting): Promise<string> {
    const token = await this._tokens._get()
    const headers: Record<string, string> = { "content-type": "application/json", "idempotency-key": key }
    if (token) headers.authorization = "Bearer " + token
    const abort = (this.#abort = new AbortController())
    const stopTimer = startTimer(requestTimeout, () => abort.abort())
    try {
      const answer = await fetch(this._url, { method: "POST", body, headers, signal: abort.signal })
      if (answer.ok) {
        const { id } = (await answer.json()) as { id?: string }
        if (id) return id
      }
      const error = await answerError(answer)
      if (error.status === 401 && error.code && this._tokens._refuse(token)) throw new TriviumError(error.message, "", 401)
      throw error
    } finally {
      stopTimer()
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
