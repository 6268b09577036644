import { closedError, problemError, TriviumError } from "./error.js"
import { checkToken } from "./options.js"
import { backoff, startTimer } from "./timer.js"
import { connectionLost, readPushed, resumeAtOnce } from "./transport.js"

/**
 * The values of the core that the parts use. The core passes them to each part when it loads the part. An import would copy
 * them into the part, but there must be only one class TriviumError.
 */
export const core = [closedError, TriviumError, problemError, backoff, startTimer, connectionLost, readPushed, resumeAtOnce, checkToken] as const
