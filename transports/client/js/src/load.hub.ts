import { core } from "./core.js"
import type { load as bundled } from "./load.js"

/** The hash of all parts, which the build sets. */
declare const PARTS_VERSION: string

let failures = 0

/**
 * Imports a part from the directory of this module. Some browsers also cache a failed import, so the URL changes after each
 * failure. A hub of another version, which has other parts, answers with a module that throws.
 */
export const load: typeof bundled = async (name) => {
  try {
    const file = `./trivium-${name}.js?v=${PARTS_VERSION}&${failures}`
    return (await import(file)).default(core)
  } catch (e) {
    failures++
    throw e
  }
}
