import { currentToken } from "./auth.js"
import { closedError, TriviumError } from "./error.js"
import { load } from "./load.js"
import type { Publisher } from "./publish.js"
import type { Client } from "./state.js"
import { backoff, startTimer, type Timer } from "./timer.js"

export interface PublishOptions {
  type?: string
  key?: string
  /** A second publish with the same key within two minutes has no effect. Default: a random key. */
  idempotencyKey?: string
}

/** Publishes data as JSON, or a Uint8Array as binary data, and resolves with the event's id. */
export type Publish = (topic: string, data: unknown, options?: PublishOptions) => Promise<string>

/** The publishes that wait for the hub. The first publish loads the part that sends them. */
export interface Publishing {
  _count: number
  /** The size of all payloads, in UTF-16 code units (JSON) or bytes (binary data). */
  _size: number
  _publisher?: Promise<Publisher> | undefined
  /** Ends the wait before the next attempt to publish, or to load the part. It has no effect if nothing waits. */
  _wake?: Timer
}

/** The limit of `_size`. A single payload may be larger. */
const maxSize = 4 << 20

/** Publishes an event. It rejects if too many publishes wait. */
export async function publish(c: Client, topic: string, data: unknown, options: PublishOptions = {}): Promise<string> {
  const waiting = c._publishing
  const payload = data instanceof Uint8Array ? data.slice() : (JSON.stringify(data) ?? "null")
  if (waiting._count >= (c._options.maxPublishes ?? 1000) || (waiting._count && waiting._size + payload.length > maxSize)) {
    throw new TriviumError(waiting._count + " publishes are waiting", "queue-full")
  }
  waiting._count++
  waiting._size += payload.length
  try {
    return await (await (waiting._publisher ??= loadPublisher(c)))._send(topic, payload, options)
  } finally {
    waiting._count--
    waiting._size -= payload.length
  }
}

/** Loads the part that sends publishes, and retries temporary failures. */
async function loadPublisher(c: Client): Promise<Publisher> {
  for (let tries = 0; !c._closed; tries++) {
    try {
      return (await load("publish"))._newPublisher(c, currentToken)
    } catch (e) {
      if ((e as TriviumError).temporary === false) {
        c._publishing._publisher = undefined
        throw e // the page has to be reloaded
      }
    }
    await new Promise<void>((done) => startTimer(backoff(tries, c._options.maxWait), (c._publishing._wake = done)))
  }
  throw closedError()
}
