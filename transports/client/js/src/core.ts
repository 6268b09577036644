import { closedError, problemError, TriviumError } from "./error.js"
import { checkToken } from "./options.js"
import { backoff, startTimer } from "./timer.js"
import { connectionLost, readPushed, resumeAtOnce } from "./transport.js"

/** What the parts use of the core. A part that imported it would get copies, and TriviumError must be one class. */
export const core = [closedError, TriviumError, problemError, backoff, startTimer, connectionLost, readPushed, resumeAtOnce, checkToken] as const
