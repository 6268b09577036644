/** An error of the client, of the hub, or of another server that answered in place of the hub. */
export class TriviumError extends Error {
  override readonly name = "TriviumError"
  /**
   * @param code the code in the hub's problem document, such as `invalid-token`; a code of this client: `closed`,
   * `queue-full`, `options`, `network`, `key-expired`, `version` (the page must be reloaded), or `gap` (of a text stream);
   * or `""` for an answer of another server.
   * @param status the status of the HTTP answer; 0 if there was none.
   * @param retryAfter the shortest wait before the next attempt, in milliseconds, if the hub requested one; else 0.
   * @param parameter the name of the invalid parameter, if the hub has sent it.
   */
  constructor(
    message: string,
    readonly code: string,
    readonly status = 0,
    readonly retryAfter = 0,
    readonly parameter?: string,
  ) {
    super(message)
  }

  /** Whether the same request may succeed later. */
  get temporary(): boolean {
    const s = this.status
    return !this.code || s < 300 || s >= 500 || [408, 409, 425, 429].includes(s)
  }
}

/** A problem document (RFC 9457). */
export interface Problem {
  type?: string
  title?: string
  detail?: string
  status?: number
  parameter?: string
}

/** Returns the error that a problem document describes. */
export function problemError(p: Problem, retryAfter = 0): TriviumError {
  const [, code = ""] = p.type?.split("urn:trivium:problem:") ?? []
  return new TriviumError(p.detail || p.title || "HTTP status " + p.status, code, p.status, retryAfter, p.parameter)
}

/** Returns the error of an operation on a closed client. */
export function closedError(): TriviumError {
  return new TriviumError("the client was closed", "closed")
}
