import { TriviumError } from "./error.js"

export type TransportName = "ws" | "sse" | "poll" | "eventsource"

/** A token, or a token and its expiry as a Date or in milliseconds since 1970. */
export type Token = string | { token: string; expires?: Date | number }

/** The part of `Storage` that the client uses; `localStorage` and `sessionStorage` have it. */
export interface CursorStorage {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
}

export interface Options {
  /** The hub's address, including the path under which it is mounted. Default: the origin of the page. */
  url?: string | URL
  /** Topic filters, at most 64, such as `orders.eu`, `orders.*` or `orders.>`. Default: all topics that the token may read. */
  topics?: readonly string[]
  /** Start after the event with this id. At most one of `cursor`, `last` and `since` may be given. */
  cursor?: string
  /** Start with the newest retained events, 1 to 1000. */
  last?: number
  /** Start with the events of a duration, such as `90s` or `10m`, or since a time. */
  since?: string | Date
  /** Of several waiting events with one topic and key, deliver only the newest. */
  conflate?: "key"
  token?: string
  /** Returns a token. The client calls it at the start, before a token expires, and when the hub refuses one. */
  getToken?: () => Token | Promise<Token>
  /** `auto`, the default, uses the first of `ws`, `sse` and `poll` that works, and later returns to a better one. */
  transport?: TransportName | "auto"
  /** Keeps the cursor, so that a reloaded page resumes. Each user and set of topics has an entry. */
  storage?: CursorStorage
  /**
   * Shares one connection among the tabs of the origin that have the same hub, topics and user. `true`: the tokens of a user
   * differ in `exp`, `nbf`, `iat` and `jti` only. A text names the user, for tokens that say nothing of it; all tokens under
   * one name must have the same rights. Where the browser has no Web Locks, each tab connects.
   */
  tabs?: boolean | string
  /** Parses JSON payloads. Default: `JSON.parse`. */
  parse?: (text: string) => unknown
  /** Milliseconds without data after which a connection counts as lost, unless the hub announces its heartbeats. A poll waits for 5/8 of it. Default: 40,000. */
  silence?: number
  /** The longest wait between two attempts in milliseconds, unless the hub asks for a longer one. Default: 30,000. */
  maxWait?: number
  /** Milliseconds that a connection may take to open. Default: 10,000. */
  openTimeout?: number
  /** The largest number of publishes that wait for the hub. Default: 1000. */
  maxPublishes?: number
}

/** Throws if options contradict each other. The hub checks their values. */
export function checkOptions({ cursor, last, since, token, getToken }: Options): void {
  const isGiven = (value: unknown) => value !== undefined
  if ([cursor, last, since].filter(isGiven).length > 1 || (isGiven(token) && getToken)) {
    throw new TriviumError("cursor, last and since exclude each other, as do token and getToken", "options")
  }
}

/** Returns a token without white space around it. An error does not contain it. */
export function checkToken(value: string): string {
  value = value.trim()
  if (/^[\w.~-]{1,8192}$/.test(value)) return value
  throw new TriviumError("token: want 1 to 8192 of A-Z a-z 0-9 - . _ ~", "options")
}
