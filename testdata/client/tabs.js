// Subscribes with the options in the fragment, and records the events and the number of open WebSockets.
import { connect } from "./trivium.js"

let sockets = 0
globalThis.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args)
    sockets++
    let open = true
    const ended = () => {
      if (open) sockets--
      open = false
    }
    this.addEventListener("close", ended)
    this.close = (...code) => {
      ended()
      super.close(...code)
    }
  }
}

const options = JSON.parse(decodeURIComponent(location.hash.slice(1)))
if (options.locks === "missing") Object.defineProperty(navigator, "locks", { value: undefined })
if (options.locks === "refused") navigator.locks.request = () => Promise.reject(new DOMException("refused", "SecurityError"))
const { token } = options
const events = connect({ tabs: true, ...options, ...(token && { token: undefined, getToken: () => globalThis.token ?? token }) })
const got = []
const gaps = []
let restored = 0
const note = (e) => got.push(e.topic + " " + e.data.n)
if (options.held) {
  const gate = new Promise((done) => (globalThis.startReading = done))
  void (async () => {
    for await (const e of events) {
      await gate
      note(e)
    }
  })()
} else {
  events.on("event", note)
}
events.on("gap", (g) => gaps.push(g.reason))
addEventListener("pageshow", (e) => e.persisted && restored++)

Object.assign(globalThis, {
  events,
  // Returns the state of the page for the test.
  look: () => ({ got, gaps, sockets, restored, phase: events.state.phase, error: events.state.error?.message ?? "" }),
  // Blocks the page until the harness answers.
  hang(url) {
    const request = new XMLHttpRequest()
    request.open("POST", url, false)
    request.send()
  },
})
