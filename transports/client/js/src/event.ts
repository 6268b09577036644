import { parts } from "./json.js"

/** An event as the hub sent it. */
export class TriviumEvent<T = unknown> {
  /** The cursor of the event: a subscription that starts with it gets the events after this one. */
  readonly id: string
  readonly topic: string
  readonly type: string | undefined
  readonly key: string | undefined
  /** When the hub accepted the event: RFC 3339 in UTC, with up to nine decimals of a second. */
  readonly time: string
  /** The payload as it was published: JSON text, other text, or binary data in base64. */
  readonly text: string
  readonly #decode: () => unknown
  #data: { value: unknown } | undefined

  /**
   * @param json an envelope (docs/protocol.md#events).
   * @param parse parses a JSON payload when `data` is first read.
   */
  constructor(json: string, parse: (text: string) => unknown = JSON.parse) {
    const member = parts(json)
    const string = (name: string) => (member[name] ? (JSON.parse(member[name]) as string) : undefined)
    this.id = string("id")!
    this.topic = string("topic")!
    this.type = string("type")
    this.key = string("key")
    this.time = string("time") ?? ""
    if (!this.id || !this.topic) throw new Error("not an event")
    const base64 = string("data_base64")
    const isText = member.text === "true"
    const text = (this.text = base64 ?? (isText ? string("data") : member.data) ?? "")
    this.#decode = () =>
      base64 !== undefined ? Uint8Array.from(atob(text), (c) => c.charCodeAt(0)) : isText ? text : text ? parse(text) : undefined
  }

  /** The payload: the parsed JSON, a string, or a Uint8Array for binary data. */
  get data(): T {
    return (this.#data ??= { value: this.#decode() }).value as T
  }
}

/** Events that match the subscription were lost, or may have been (docs/protocol.md#gaps). */
export interface Gap {
  /** `expired`: retention removed them. `epoch`: the hub's log began anew. `future`: the cursor is ahead of the log. */
  reason: "expired" | "epoch" | "future" | (string & {})
  /** The position before the gap; absent if the subscription started with a time. */
  after?: string
  /** The position after the gap. */
  resumed_at: string
  /** Whether events that match were lost; if not, that is only possible. */
  certain: boolean
}
