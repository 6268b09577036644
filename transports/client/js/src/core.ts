import { closedError, problemError, TriviumError } from "./error.js"
import { checkToken } from "./options.js"
import { backoff, startTimer } from "./timer.js"
import { connectionLost, readPushed, resumeAtOnce } from "./transport.js"

/**
 * The values of the core that parts use. The core passes them to each part, because an import would copy them into the
 * part, and TriviumError must be one class.
 */
export const core = [closedError, TriviumError, problemError, backoff, startTimer, connectionLost, readPushed, resumeAtOnce, checkToken] as const
