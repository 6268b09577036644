import { core } from "./core.js"

const parts = {
  http: () => import("./http.js"),
  publish: () => import("./publish.js"),
  storage: () => import("./storage.js"),
  tabs: () => import("./tabs.js"),
  token: () => import("./token.js"),
}

export type Parts = { [name in keyof typeof parts]: ReturnType<Awaited<ReturnType<(typeof parts)[name]>>["default"]> }

/** Resolves with a part of the client that is not in the core. A hub serves load.hub.ts in place of this module. */
export async function load<K extends keyof Parts>(name: K): Promise<Parts[K]> {
  return (await parts[name]()).default(core) as Parts[K]
}
