// Tests the cases that the suite of the Go client does not cover, against servers that imitate a hub. npm test runs them.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { createServer } from "node:http"
import { after, test } from "node:test"
import { EventSource } from "../dist/trivium-eventsource.js"
import { connect, TriviumError, TriviumEvent } from "../dist/trivium.js"

const closing = []
after(() => closing.forEach((close) => close()))

/** Starts a server and returns its URL. */
async function serve(answer, upgrade) {
  const server = createServer(answer)
  if (upgrade) server.on("upgrade", upgrade)
  await new Promise((done) => server.listen(0, "127.0.0.1", done))
  server.on("connection", (socket) => closing.push(() => socket.destroy()))
  closing.push(() => server.close())
  return "http://127.0.0.1:" + server.address().port
}

function open(options) {
  const events = connect({ maxWait: 50, ...options })
  closing.push(() => events.close())
  return events
}

/** Resolves with the first state for which ok returns true. */
function state(events, ok) {
  return new Promise((done) => {
    if (ok(events.state)) done(events.state)
    events.on("state", (s) => ok(s) && done(s))
  })
}

/** Accepts a WebSocket and sends texts of fewer than 126 bytes. */
function acceptWith(...texts) {
  return (request, socket) => {
    const key = createHash("sha1").update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64")
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key}\r\n` + "Sec-WebSocket-Protocol: trivium.v1\r\n\r\n")
    for (const text of texts) socket.write(Buffer.concat([Buffer.from([0x81, Buffer.byteLength(text)]), Buffer.from(text)]))
    socket.on("error", () => {})
  }
}

const polled = (cursor, ...events) => JSON.stringify({ cursor, events })
const envelope = (n, data = n) => ({ id: "e-" + n, topic: "t", time: "2026-11-22T16:14:51Z", data })
const json = (response, text) => response.setHeader("content-type", "application/json").end(text)

test("options that exclude each other are refused", () => {
  for (const options of [{ cursor: "a", last: 1 }, { last: 1, since: "1m" }, { token: "a", getToken: () => "b" }]) {
    assert.throws(() => connect(options), (e) => e instanceof TriviumError && e.code === "options")
  }
})

test("data and text are exactly the published payload", () => {
  const event = (members) => new TriviumEvent(`{"id":"e-1","topic":"t","time":"now",${members}}`)
  for (const [members, text, data] of [
    ['"data":{"n":12345678901234567890,"s":"}]\\"{"}', '{"n":12345678901234567890,"s":"}]\\"{"}', { n: 12345678901234567890, s: '}]"{' }],
    ['"type":"x","data":[1,[2,{}]]', "[1,[2,{}]]", [1, [2, {}]]],
    ['"data":null', "null", null],
    ['"text":true,"data":"a\\nb"', "a\nb", "a\nb"],
    ['"data_base64":"AAH/"', "AAH/", new Uint8Array([0, 1, 255])],
    ['"type":"empty"', "", undefined],
  ]) {
    const e = event(members)
    assert.equal(e.text, text)
    assert.deepEqual(e.data, data)
  }
  assert.equal(new TriviumEvent('{"id":"e-1","topic":"t","data":123}', (text) => BigInt(text)).data, 123n)
  assert.throws(() => new TriviumEvent('{"hello":1}'))
})

test("a getToken that fails does not change the transport", async () => {
  const url = await serve((_, response) => response.writeHead(500).end())
  let calls = 0
  const events = open({ url, getToken: () => (++calls, Promise.reject(new Error("no token yet"))) })
  const s = await state(events, (s) => calls > 3 && s.phase === "waiting")
  assert.equal(s.transport, "ws")
  assert.equal(s.error.message, "no token yet")
})

test("a token with invalid characters is refused before it is sent", async () => {
  let requests = 0
  const url = await serve((_, response) => (requests++, response.end()))
  const events = open({ url, getToken: () => "two words" })
  const s = await state(events, (s) => s.phase === "waiting")
  assert.match(s.error.message, /^token: want 1 to 8192 of A-Z/)
  assert.equal(requests, 0)
})

test("a WebSocket of another server ends, and auto uses the next transport", async () => {
  for (const text of ['{"op"', "hello", '{"op":"welcome"}']) {
    const url = await serve((_, response) => json(response, polled("e-1")), acceptWith(text, text))
    const events = open({ url, transport: "ws" })
    assert.ok((await state(events, (s) => s.phase === "waiting")).error, text)
    events.use("auto")
    assert.equal((await state(events, (s) => s.phase === "live")).transport, "poll", text)
  }
})

test("a slow loop stops the client from reading ahead", async () => {
  let sent = 0
  const url = await serve((request, response) => {
    const wait = Number(new URL(request.url, "http://x").searchParams.get("wait"))
    if (!wait) return json(response, polled("e-0"))
    sent++
    json(response, polled("e-" + sent, envelope(sent)))
  })
  const events = open({ url, transport: "poll" })
  let n = 0
  for await (const e of events) {
    assert.equal(e.id, "e-" + ++n)
    for (let turns = 0; turns < 100; turns++) await new Promise(setImmediate) // time in which the client could read ahead
    assert.ok(sent <= n + 1, "the client sends at most one poll ahead of the event that the loop processes")
    assert.equal(events.cursor, "e-" + (n - 1))
    if (n === 5) break
  }
  assert.equal(events.cursor, "e-5")
})

test("the storage keeps the cursor of each user and set of topics", async () => {
  const asked = []
  const url = await serve((request, response) => {
    asked.push(request.headers["last-event-id"] ?? "")
    json(response, asked.length === 1 ? polled("e-7", envelope(7)) : polled("e-7"))
  })
  const kept = new Map()
  const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => void kept.set(key, value) }
  const first = open({ url, storage, token: "a", topics: ["t"], transport: "poll" })
  await new Promise((done) => first.on("event", done))
  first.close()
  assert.deepEqual([...kept.values()], ["e-7"])
  assert.ok(![...kept.keys()].join().includes('"a"'))
  asked.length = 1
  for (const [options, want] of [[{ token: "a", topics: ["t"] }, "e-7"], [{ token: "a", topics: ["u"] }, ""], [{ token: "b", topics: ["t"] }, ""]]) {
    const before = asked.length
    const events = open({ url, storage, transport: "poll", ...options })
    await state(events, (s) => s.phase === "live")
    events.close()
    assert.equal(asked[before], want)
  }
})

test("publishes are bounded, in order, and fail when the client is closed", async () => {
  const url = await serve((_, response) => response.writeHead(503, { "content-type": "application/problem+json" }).end('{"type":"urn:trivium:problem:unavailable"}'))
  const events = open({ url, transport: "poll", maxPublishes: 2 })
  const results = Promise.allSettled([1, 2, 3].map((n) => events.publish("t", n)))
  await new Promise((done) => setTimeout(done, 20))
  events.close()
  assert.deepEqual((await results).map((r) => r.reason.code), ["closed", "closed", "queue-full"])
  await assert.rejects(events.publish("t", 4), { code: "closed" })
})

test("the hub's refusal of a publish is final, and another server's is not", async () => {
  let tries = 0
  const url = await serve((_, response) => {
    if (++tries < 3) return response.writeHead(403, { "content-type": "text/html" }).end("<h1>Forbidden</h1>")
    response.writeHead(403, { "content-type": "application/problem+json" })
    response.end('{"type":"urn:trivium:problem:forbidden","title":"Forbidden","status":403,"detail":"not this topic"}')
  })
  const events = open({ url, topics: [] })
  await assert.rejects(events.publish("t", 1), { name: "TriviumError", code: "forbidden", status: 403, message: "not this topic" })
  assert.equal(tries, 3)
})

test("an error of a handler reaches neither the client nor the other handlers", async () => {
  const url = await serve((_, response) => json(response, polled("e-1", envelope(1))))
  const events = open({ url, transport: "poll" })
  const uncaught = new Promise((done) => process.setUncaughtExceptionCaptureCallback(done))
  events.on("event", () => {
    throw new Error("of a handler")
  })
  const second = new Promise((done) => events.on("event", done))
  assert.equal((await second).id, "e-1")
  assert.equal((await uncaught).message, "of a handler")
  process.setUncaughtExceptionCaptureCallback(null)
  events.close()
})

const problem = (response, status, code) => response.writeHead(status, { "content-type": "application/problem+json" }).end(JSON.stringify({ type: "urn:trivium:problem:" + code, status }))

test("the stored cursor survives a page without a connection", async () => {
  const kept = new Map()
  const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => void kept.set(key, value) }
  let up = true
  const asked = []
  const url = await serve((request, response) => {
    asked.push(request.headers["last-event-id"] ?? "")
    if (up) json(response, polled("e-5", ...(asked.length === 1 ? [envelope(5)] : [])))
    else response.writeHead(502).end()
  })
  const options = { url, storage, token: "a", topics: ["t"], transport: "poll" }
  const first = open(options)
  await new Promise((done) => first.on("event", done))
  first.close()
  up = false
  const second = open({ ...options, cursor: "e-1" })
  await state(second, (s) => s.phase === "waiting")
  assert.equal(second.cursor, "e-5")
  second.close()
  assert.deepEqual([...kept.values()], ["e-5"])
})

test("no connection is opened if the topics are removed while a token is fetched", async () => {
  let requests = 0
  const url = await serve((_, response) => (requests++, json(response, polled("e-1"))))
  let give
  const asked = new Promise((called) => {
    const events = open({ url, topics: ["a"], transport: "poll", getToken: () => (called(events), new Promise((done) => (give = done))) })
  })
  const events = await asked
  const set = events.setTopics([])
  give("token")
  await set
  await state(events, (s) => s.phase === "idle")
  assert.equal(requests, 0)
})

test("a loop and a handler may change the topics, and no event is lost", async () => {
  const url = await serve((request, response) => {
    const from = Number((request.headers["last-event-id"] ?? "e-0").slice(2))
    const events = from < 4 ? [envelope(from + 1), envelope(from + 2)] : []
    json(response, polled("e-" + (from + events.length), ...events))
  })
  const events = open({ url, topics: [], transport: "poll" })
  events.on("state", (s) => s.phase === "idle" && events.setTopics(["t"]))
  const iterator = events[Symbol.asyncIterator]() // its method next is called later
  await state(events, (s) => s.phase === "live")
  for (let n = 1; n <= 4; n++) {
    assert.equal((await iterator.next()).value.id, "e-" + n)
    await events.setTopics(["t", "t" + n])
  }
})

test("a handler that another one removes is not called", async () => {
  const url = await serve((_, response) => json(response, polled("e-1", envelope(1))))
  const events = open({ url, transport: "poll" })
  const called = []
  events.on("event", () => {
    called.push(1)
    remove()
  })
  const remove = events.on("event", () => called.push(2))
  await new Promise((done) => events.on("event", done))
  events.close()
  assert.deepEqual(called, [1])
})

test("options that are undefined get their defaults", async () => {
  const url = await serve((_, response) => response.writeHead(502).end())
  const options = { url, transport: "poll", maxWait: undefined, silence: undefined, openTimeout: undefined, maxPublishes: undefined }
  const events = connect(options)
  closing.push(() => events.close())
  for (let tries = 0; tries < 2; tries++) {
    const s = await new Promise((done) => events.on("state", (s) => s.phase === "waiting" && done(s)))
    assert.ok(s.wait >= 0 && s.wait <= 1000, s.wait)
  }
})

test("a token that could not be a header is refused, and the error does not contain it", () => {
  for (const token of ["two words", "a\nb", "abc="]) {
    assert.throws(() => connect({ url: "http://127.0.0.1:9", token }), (e) => e.code === "options" && !e.message.includes(token))
  }
})

test("a closed client does not call getToken", async () => {
  let calls = 0
  const url = await serve((_, response) => json(response, polled("e-1")))
  const events = open({ url, transport: "poll", getToken: () => ({ token: "t" + ++calls, expires: Date.now() + 50 }) })
  while (calls < 2) await new Promise((done) => setTimeout(done, 5))
  await new Promise((done) => events.on("state", (s) => s.phase === "closed" && done()) && events.close())
  const before = calls
  for (let turns = 0; turns < 1000; turns++) await new Promise(setImmediate)
  assert.ok(calls <= before + 1)
})

test("a token that the hub refuses twice, and a body that a proxy refuses, end a publish", async () => {
  const url = await serve((request, response) => (request.url === "/publish" ? problem(response, 401, "invalid-token") : json(response, polled("e-1"))))
  const events = open({ url, topics: [], getToken: () => "t" })
  await assert.rejects(events.publish("t", 1), { code: "invalid-token" })
  const proxy = await serve((_, response) => response.writeHead(413).end("<h1>Request Entity Too Large</h1>"))
  await assert.rejects(open({ url: proxy, topics: [] }).publish("t", 1), { status: 413 })
  await assert.rejects(events.publish("t", 1, { idempotencyKey: "€" }), TypeError)
})

test("a refused WebSocket is retried", async () => {
  const url = await serve((_, response) => response.writeHead(502).end())
  const events = open({ url, transport: "ws" })
  for (let tries = 0; tries < 2; tries++) await new Promise((done) => events.on("state", (s) => s.phase === "waiting" && done()))
})

test("the client works without URL.searchParams, as in React Native", async () => {
  const asked = []
  const url = await serve((request, response) => (asked.push(request.url), json(response, polled("e-1", envelope(1)))))
  const real = Object.getOwnPropertyDescriptor(URL.prototype, "searchParams")
  Object.defineProperty(URL.prototype, "searchParams", { ...real, get: () => assert.fail("not implemented") })
  try {
    const events = open({ url: url + "/below", topics: ["a.*", "b&c"], since: new Date(0), transport: "poll" })
    await new Promise((done) => events.on("event", done))
  } finally {
    Object.defineProperty(URL.prototype, "searchParams", real)
  }
  const first = new URL(asked[0], url)
  assert.equal(first.pathname, "/below/poll")
  assert.deepEqual(first.searchParams.getAll("topic"), ["a.*", "b&c"])
  assert.equal(first.searchParams.get("since"), "1970-01-01T00:00:00.000Z")
  for (const wrong of ["hub.example.com", "ws://hub.example.com"]) assert.throws(() => connect({ url: wrong }), { code: "options", message: /^url: / })
})

test("the limit of silence grows after a silent connection", async (t) => {
  let requests = 0
  const url = await serve((_, response) => {
    requests++
    response.writeHead(200, { "content-type": "text/event-stream" }).write("event: trivium.open\nid: e-0\ndata: {}\n\n")
  })
  t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.now() })
  const events = open({ url, transport: "sse" })
  const phase = async (want) => {
    await state(events, (s) => s.phase === want)
    for (let turns = 0; turns < 100; turns++) await new Promise(setImmediate) // time in which the opening message is delivered
  }
  await phase("live")
  t.mock.timers.tick(40_000)
  await phase("waiting")
  t.mock.timers.tick(50)
  await phase("live")
  t.mock.timers.tick(60_000) // the time between two heartbeats of a hub with --heartbeat 60s
  assert.deepEqual([events.state.phase, requests], ["live", 2])
  t.mock.timers.tick(20_000)
  await phase("waiting")
  events.close()
})

test("control messages that the client does not know are ignored, and the reserved ones need no data", async () => {
  const later = [["presence", "no JSON", {}], ["", "", {}], ["live", "", { id: "e-0" }], ["end", "", { id: "e-0" }]]
  const url = await serve(
    (request, response) => {
      if (request.url.startsWith("/poll")) return json(response, '{"up_to_date":true,"state":{"events":[]},' + polled("e-1", { ...envelope(1), end: true }).slice(1))
      response.writeHead(200, { "content-type": "text/event-stream" })
      for (const [op, data] of [["open", "{}"], ...later]) response.write(`event: trivium.${op}\nid: e-0\ndata: ${data}\n\n`)
      response.write(`data: ${JSON.stringify(envelope(1))}\n\n`)
    },
    acceptWith('{"op":"hello","id":"e-0"}', ...later.map(([op, note, members]) => JSON.stringify({ op, note, ...members })), JSON.stringify(envelope(1))),
  )
  globalThis.EventSource = EventSource
  for (const transport of ["ws", "sse", "poll", "eventsource"]) {
    const events = open({ url, transport })
    const got = []
    for (const name of ["live", "end", "error"]) events.on(name, ({ id }) => got.push(name + " " + id))
    const { id } = await new Promise((done) => events.on("event", done))
    assert.deepEqual([id, events.state.phase, ...got], ["e-1", "live", ...(transport === "poll" ? [] : ["live e-0", "end e-0"])], transport)
    events.close()
  }
  delete globalThis.EventSource
})

test("a waiting publish is sent when the network is back, but not before the time that the hub has requested", async () => {
  const polls = []
  const answers = [
    (response) => response.writeHead(502).end(),
    (response) => json(response, '{"id":"e-1"}'),
    (response) => response.writeHead(502).end(),
    (response) => json(response, '{"id":"e-2"}'),
    (response) => response.writeHead(503, { "retry-after": "60", "content-type": "application/problem+json" }).end('{"type":"urn:trivium:problem:unavailable","status":503}'),
  ]
  let requests = 0
  const url = await serve((request, response) => (request.url.startsWith("/poll") ? polls.push(response) : answers[requests++](response)))
  const waits = []
  const maxWait = 0.5
  const real = globalThis.setTimeout
  globalThis.setTimeout = (f, ms, ...args) => {
    const isWait = (ms > 0 && ms < maxWait) || ms === 60_000
    if (isWait) waits.push(ms)
    return real(isWait ? () => {} : f, ms, ...args) // a wait does not end by itself
  }
  const until = async (ok) => {
    while (!ok()) await new Promise(setImmediate)
  }
  try {
    const events = open({ url, transport: "poll", maxWait })
    const first = events.publish("t", 1)
    await until(() => waits.length)
    events.reconnect()
    assert.equal(await first, "e-1")

    waits.length = 0
    const second = events.publish("t", 2)
    await until(() => waits.length)
    await until(() => polls.length === 2)
    json(polls[1], polled("e-1"))
    assert.equal(await second, "e-2")

    waits.length = 0
    const third = events.publish("t", 3)
    await until(() => waits[0] === 60_000)
    for (let turns = 0; turns < 100; turns++) {
      events.reconnect()
      await new Promise(setImmediate)
    }
    events.close()
    await assert.rejects(third, { code: "closed" })
    assert.equal(requests, 5)
  } finally {
    globalThis.setTimeout = real
  }
})

test("a url that is only a path is relative to the origin of the page", async () => {
  const asked = []
  const url = await serve((request, response) => (asked.push(request.url.split("?")[0]), json(response, polled("e-1"))))
  for (const wrong of [undefined, "/hub"]) assert.throws(() => connect({ url: wrong }), { code: "options", message: /^url: / })
  globalThis.location = { origin: url }
  for (const [path, want] of [["/hub", "/hub/poll"], ["/hub/", "/hub/poll"], ["/", "/poll"], [undefined, "/poll"]]) {
    const events = open({ url: path, transport: "poll", topics: ["t"] })
    await state(events, (s) => s.phase === "live")
    assert.equal(asked.at(-1), want)
    events.close()
  }
  delete globalThis.location
})

test("an unknown transport closes the client, and the error names the known ones", async () => {
  const events = open({ url: "http://127.0.0.1:9", transport: "websocket" })
  const error = await new Promise((done) => events.on("error", done))
  assert.deepEqual([error.code, error.message], ["options", "transport: want auto, ws, sse, poll or eventsource"])
})

test("a getToken that returns nothing is called again", async () => {
  for (const given of [undefined, null, {}]) {
    let calls = 0
    const events = open({ url: "http://127.0.0.1:9", getToken: () => (calls++, given) })
    const { error } = await state(events, (s) => calls > 1 && s.phase === "waiting")
    assert.match(error.message, /^token: want 1 to 8192 of A-Z/)
    events.close()
  }
})
