import type { core } from "./core.js"
import { backoff, closedError, inject, startTimer, TriviumError } from "./injected.js"
import { answerError } from "./request.js"
import type { PublishOptions } from "./publishing.js"
import type { Client } from "./state.js"
import type { Timer } from "./timer.js"

/** A publish that waits for the hub. */
interface Waiting {
  body: string
  key: string
  /** When the hub may have removed the key, in milliseconds since 1970; Infinity while no attempt can have succeeded. */
  until: number
  /** Whether the hub has refused one token, and a renewed token is used. */
  renewed: boolean
  done(id: string): void
  failed(why: unknown): void
}

/** The time limit of a request in milliseconds. Each `bodyRate` characters of the body extend it by a millisecond. */
const requestTimeout = 30_000
const bodyRate = 32
/** Milliseconds for which a publish is retried after the hub may have accepted it. The hub remembers the key for 120 s. */
const keyLife = 110_000
/** The longest wait that a hub can request, in milliseconds. */
const maxAsked = 600_000

/**
 * Publishes events one after the other, and retries temporary failures. The idempotency key prevents a retry from publishing
 * an event twice.
 */
export class Publisher {
  private _queue: Waiting[] = []
  private _closed = false
  private _abort = new AbortController() // of the current request
  private _wake: Timer // ends the wait before a retry

  constructor(
    private _client: Client,
    private _currentToken: (c: Client) => Promise<string>,
  ) {}

  /** Publishes JSON or binary data after the publishes before it, and resolves with the event's id. */
  _send(topic: string, data: string | Uint8Array, { type, key, idempotencyKey }: PublishOptions): Promise<string> {
    return new Promise((done, failed) => {
      const start = JSON.stringify({ topic, type, key }).slice(0, -1)
      const body = start + (typeof data === "string" ? ',"data":' + data : `,"data_base64":"${base64(data)}"`) + "}"
      // Pages without HTTPS have no crypto.randomUUID. Keys need to be unique for one token only.
      const random = () => Math.random().toString(36).slice(2)
      const w = { body, key: idempotencyKey ?? random() + random(), until: Infinity, renewed: false, done, failed }
      new Headers({ "idempotency-key": w.key }) // throws if the key cannot be a header
      if (this._closed) return failed(closedError())
      if (this._queue.push(w) === 1) void this._run()
    })
  }

  _close(): void {
    this._closed = true
    this._abort.abort()
    this._wake?.()
    for (const { failed } of this._queue) failed(closedError())
  }

  private async _run(): Promise<void> {
    for (let w; (w = this._queue[0]) && !this._closed; this._queue.shift()) {
      await this._retry(w).then(w.done, w.failed)
    }
  }

  private async _retry(w: Waiting): Promise<string> {
    for (let tries = 0; ; tries++) {
      let wait = backoff(tries, this._client._options.maxWait)
      let isAsked = false // the hub has requested the wait
      try {
        return await this._attempt(w)
      } catch (e) {
        if (this._closed) throw closedError()
        // Other errors come from fetch or from getToken, and are temporary.
        if (e instanceof TriviumError) {
          if (!e.temporary || e.code === "options" || [413, 414, 415, 431].includes(e.status)) throw e
          isAsked = e.retryAfter > 0
          wait = Math.min(e.retryAfter, maxAsked) || wait
        }
        if (Date.now() + wait > w.until) throw e
      }
      await new Promise<void>((done) => {
        const stop = startTimer(wait, done)
        this._wake = () => {
          stop()
          done()
        }
        // When the network is back, the client ends the wait.
        this._client._publishing._wake = isAsked ? undefined : this._wake
      })
    }
  }

  private async _attempt(w: Waiting): Promise<string> {
    const token = await this._currentToken(this._client)
    const begin = Date.now()
    if (this._closed) throw closedError()
    // The device may have been suspended since the last attempt.
    if (begin > w.until) throw new TriviumError("no answer in time; the event may have been published", "key-expired")
    const headers: Record<string, string> = { "content-type": "application/json", "idempotency-key": w.key }
    if (token) headers.authorization = "Bearer " + token
    const abort = (this._abort = new AbortController())
    const stop = startTimer(Math.min(requestTimeout + w.body.length / bodyRate, w.until - begin), () => abort.abort())
    try {
      const answer = await fetch(this._client._base + "publish", { method: "POST", body: w.body, headers, signal: abort.signal })
      const id = answer.ok && ((await answer.json()) as { id?: string }).id
      if (id) return id
      const error = await answerError(answer)
      if (error.status !== 401 || !error.code || w.renewed || !this._client._auth._renewal?._refuse(token)) throw error
      w.renewed = true
      throw new TriviumError(error.message, error.code, 425) // temporary: there may be another token
    } catch (e) {
      // Unless the hub has refused the event, it may have accepted the event, but not before the attempt began.
      if (!(e instanceof TriviumError && e.code)) w.until = Math.min(w.until, begin + keyLife)
      throw e
    } finally {
      stop()
    }
  }
}

function base64(bytes: Uint8Array): string {
  let text = ""
  for (const b of bytes) text += String.fromCharCode(b)
  return btoa(text)
}

/** The part that sends publishes. */
export default (c: typeof core) => {
  inject(c)
  return { _newPublisher: (client: Client, currentToken: (c: Client) => Promise<string>) => new Publisher(client, currentToken) }
}
