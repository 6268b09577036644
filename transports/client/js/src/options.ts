import { TriviumError } from "./error.js"

export type TransportName = "ws" | "sse" | "poll" | "eventsource"

/** A token, or a token and its expiry as a Date or in milliseconds since 1970. */
export type Token = string | { token: string; expires?: Date | number }

/** The methods of `Storage` that the client calls. Pass `localStorage`, `sessionStorage`, or an object of your own. */
export interface CursorStorage {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
}

export interface Options {
  /**
   * The hub's address, including the path under which it is mounted. In a page it may be a path, such as `/hub`. Default: the
   * origin of the page.
   */
  url?: string | URL
  /** Topic filters, at most 64, such as `orders.eu`, `orders.*` or `orders.>`. Default: all topics that the token may read. */
  topics?: readonly string[]
  /** Start after the event with this id. At most one of `cursor`, `last` and `since` may be set. */
  cursor?: string
  /** Start with the newest retained events, 1 to 1000. */
  last?: number
  /** Start with the events of the last `90s` or `10m`, for example, or with the events accepted at a time or later. */
  since?: string | Date
  /** Reserved for a later version of the protocol. */
  state?: never
  /** `key`: if the subscription falls behind, deliver only the newest of the waiting events with the same topic and key. */
  conflate?: "key"
  token?: string
  /** Returns a token. The client calls it at the start, before a token expires, and when the hub refuses one. */
  getToken?: () => Token | Promise<Token>
  /** `auto`, the default, uses the first of `ws`, `sse` and `poll` that works, and later returns to a better one. */
  transport?: TransportName | "auto"
  /** Stores the cursor, so that a reloaded page resumes. Each user and set of topics has its own entry. */
  storage?: CursorStorage
  /**
   * Shares one connection among the tabs of the origin with the same hub, topics and user. With `true`, two tokens belong
   * to one user if they are equal, or if they are JWTs that differ only in `exp`, `nbf`, `iat` and `jti`. A string names
   * the user for other tokens; all tokens under one name must have the same rights. In a browser without Web Locks, each
   * tab has its own connection.
   */
  tabs?: boolean | string
  /** Parses JSON payloads. Default: `JSON.parse`. */
  parse?: (text: string) => unknown
  /**
   * Milliseconds without data after which a connection counts as lost, unless the hub announces the time between
   * heartbeats. The hub may hold a poll for 5/8 of this time. Default: 40,000.
   */
  silence?: number
  /** The longest wait between two attempts in milliseconds, unless the hub requests a longer one. Default: 30,000. */
  maxWait?: number
  /** Milliseconds that a connection may take to open. Default: 10,000. */
  openTimeout?: number
  /** The largest number of publishes that wait for the hub. Default: 1000. */
  maxPublishes?: number
}

/** Throws if options exclude each other. The hub checks their values. */
export function checkOptions({ cursor, last, since, token, getToken }: Options): void {
  const isGiven = (value: unknown) => value !== undefined
  if ([cursor, last, since].filter(isGiven).length > 1 || (isGiven(token) && getToken)) {
    throw new TriviumError("cursor, last and since exclude each other, as do token and getToken", "options")
  }
}

/** Returns a token without white space around it, or throws. The error does not contain the token. */
export function checkToken(value: string): string {
  value = value.trim()
  if (/^[\w.~-]{1,8192}$/.test(value)) return value
  throw new TriviumError("token: want 1 to 8192 of A-Z a-z 0-9 - . _ ~", "options")
}
