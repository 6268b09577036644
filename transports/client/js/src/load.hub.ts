import { core } from "./core.js"
import type { load as bundled } from "./load.js"

/** The hash of all parts, which the build sets. */
declare const PARTS_VERSION: string

let failures = 0

/**
 * Imports a part from the place of this module. Browsers keep what they imported, and some keep a failure too, so each
 * try after one has its own URL. A hub that has other parts answers with a module that throws.
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
