// The globals of React Native, as far as a client may use them. A JavaScript engine alone has no timers and no network. As in
// React Native, the implementation is in the host program: `callHost` calls it, and it calls `receive`.
//
// fetch has no streams, a signal has no reason, and there is no URL, TextDecoder, BroadcastChannel, crypto, atob, location,
// or addEventListener.
globalThis.window = globalThis.self = globalThis
globalThis.navigator = { product: "ReactNative" }

let lastId = 0
const listeners = {} // of calls that the host answers, by their ids

function call(name, args, listener) {
  const id = ++lastId
  if (listener) listeners[id] = listener
  callHost(JSON.stringify({ name, id, ...args }))
  return id
}

/** Passes an answer of the host on to the listener of a call. */
globalThis.receive = (text) => {
  const { id, name, ...value } = JSON.parse(text)
  const listener = listeners[id]
  if (listener && listener[name]) listener[name](value)
}

globalThis.console = { log: (...words) => call("log", { text: words.join(" ") }) }
globalThis.queueMicrotask = (f) => void Promise.resolve().then(f)
globalThis.setTimeout = (f, ms) => {
  const id = call("timer", { ms }, {
    fired() {
      delete listeners[id]
      f()
    },
  })
  return id
}
globalThis.clearTimeout = (id) => void delete listeners[id]

class Signal {
  constructor() {
    this.aborted = false
    this.onabort = null
    this.all = []
  }
  addEventListener(type, f) {
    if (type === "abort") this.all.push(f)
  }
}

globalThis.AbortController = class {
  constructor() {
    this.signal = new Signal()
  }
  abort() {
    const { signal } = this
    if (signal.aborted) return
    signal.aborted = true
    const event = { type: "abort", target: signal }
    for (const f of signal.onabort ? [...signal.all, signal.onabort] : signal.all) f.call(signal, event)
  }
}

globalThis.Headers = class {
  constructor(init = {}) {
    this.map = {}
    for (const name of Object.keys(init)) this.map[name.toLowerCase()] = String(init[name])
  }
  get(name) {
    return name.toLowerCase() in this.map ? this.map[name.toLowerCase()] : null
  }
}

/** Resolves when the whole answer has arrived, as the fetch of React Native does. */
globalThis.fetch = (url, { method = "GET", headers = {}, body, signal } = {}) =>
  new Promise((done, failed) => {
    const aborted = () => failed(Object.assign(new Error("Aborted"), { name: "AbortError" }))
    if (signal && signal.aborted) return aborted()
    const id = call("request", { url, method, headers: new Headers(headers).map, body }, {
      completed: ({ status, headers, text }) =>
        done({ url, status, ok: status >= 200 && status < 300, headers: new Headers(headers), text: async () => text, json: async () => JSON.parse(text) }),
      failed: () => failed(new TypeError("Network request failed")),
    })
    if (signal) {
      signal.addEventListener("abort", () => {
        delete listeners[id]
        call("abort", { request: id })
        aborted()
      })
    }
  })

/** A WebSocket, which in React Native takes headers as a third argument. */
globalThis.WebSocket = class {
  constructor(url, protocols, { headers = {} } = {}) {
    this.readyState = 0
    const dispatch = (type, event) => this["on" + type] && this["on" + type]({ type, target: this, ...event })
    const ended = (state) => (event) => {
      this.readyState = 3
      delete listeners[this.id]
      if (state) dispatch("error", event)
      dispatch("close", event)
    }
    this.id = call("socket", { url, protocols: typeof protocols === "string" ? [protocols] : protocols, headers }, {
      opened: () => {
        this.readyState = 1
        dispatch("open")
      },
      message: ({ data }) => this.readyState === 1 && dispatch("message", { data }),
      closed: ended(false),
      failed: ended(true), // without a code
    })
  }
  send(data) {
    if (this.readyState === 0) throw new Error("INVALID_STATE_ERR")
    call("send", { socket: this.id, data })
  }
  close(code, reason) {
    if (this.readyState > 1) return
    this.readyState = 2
    call("close", { socket: this.id, code, reason })
  }
}
