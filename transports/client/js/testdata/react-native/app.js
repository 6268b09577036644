// A program for React Native. It publishes to the topic t and reads it while connections are cut, first over WebSocket,
// then at an address that refuses WebSockets, and prints the data. The host sets `client`, `server` and `token`.
async function main() {
  const { connect } = client
  const cut = () => fetch(server + "/cut", { method: "POST" }).catch(() => {}) // the connection of this request is cut, too
  const phase = (events, name) => new Promise((done) => events.on("state", (state) => state.phase === name && done(state)))

  for (const path of ["/hub", "/blocked/hub"]) {
    const kept = {}
    const storage = { getItem: (key) => kept[key] || null, setItem: (key, value) => (kept[key] = value) }
    const options = { url: server + path, getToken: async () => token, topics: ["t"], storage, tabs: true, maxWait: 50, openTimeout: 600000 }
    const got = []
    let more = () => {}
    const events = connect(options)
    events.on("event", (e) => {
      got.push(e.data.n + e.text)
      more()
    })
    const { transport } = await phase(events, "live")
    for (let n = 1; n <= 6; n++) {
      if (n === 4) await cut()
      await events.publish("t", { n }, { type: "number" })
      while (got.length < n) await new Promise((done) => (more = done))
    }
    console.log(path, transport, ...got)
    const topics = ["t", "orders.>"]
    await events.setTopics(topics)
    const { cursor } = events
    events.close()
    console.log("stored", Object.values(kept).pop() === cursor)

    const again = connect({ ...options, topics, parse: (text) => text.length })
    again.publish("t", [7]).catch(() => {}) // the answer may arrive after the client is closed
    for await (const { data } of again) {
      console.log("continued", data)
      again.close()
    }
    console.log("closed")
  }
  for (const options of [{ token: "stale" }, { token, transport: "sse" }, { token, transport: "eventsource" }]) {
    const refused = connect({ url: server + "/hub", topics: ["t"], ...options })
    const { code, status } = await new Promise((done) => refused.on("error", done))
    console.log("refused", code, status)
  }
}

main().then(
  () => callHost('{"name":"exit"}'),
  (e) => callHost(JSON.stringify({ name: "exit", error: String((e && e.stack) || e) })),
)
