// Tests textStream against servers that imitate a hub.
import assert from "node:assert/strict"
import { createServer } from "node:http"
import { after, test } from "node:test"
import { textStream } from "../dist/trivium-text-stream.js"

const closing = []
after(() => closing.forEach((close) => close()))

async function serve(answer) {
  const server = createServer(answer)
  await new Promise((done) => server.listen(0, "127.0.0.1", done))
  server.on("connection", (socket) => closing.push(() => socket.destroy()))
  closing.push(() => server.close())
  return "http://127.0.0.1:" + server.address().port
}

const envelope = (n, payload) => JSON.stringify({ id: "e-" + n, topic: "t", ...payload })
const polled = (cursor, ...events) => JSON.stringify({ cursor, events: events.map((e) => JSON.parse(e)) })
const json = (response, text) => response.setHeader("content-type", "application/json").end(text)

/** Starts a server whose event streams have these messages, each a name and its data, and returns its URL. */
function streamOf(...messages) {
  return serve((request, response) => {
    if (!request.url.startsWith("/sse")) return response.writeHead(404).end()
    asked.push(request.url)
    response.setHeader("content-type", "text/event-stream")
    for (const [name, data] of [["open", "{}"], ...messages]) response.write((name ? `event: trivium.${name}\nid: e-0\n` : "") + `data: ${data}\n\n`)
  })
}
const asked = []

async function read(stream) {
  const parts = []
  for await (const part of stream) parts.push(part)
  return parts
}

test("a text stream contains the payloads of the topic's events, and ends when the topic ends", async () => {
  const url = await streamOf(["", envelope(1, { text: true, data: "Hello" })], ["", envelope(2, { data: ", wor" })], ["", envelope(3, { data: { n: 1 } })], ["end", "{}"])
  assert.deepEqual(await read(textStream("t", { url, transport: "sse" })), ["Hello", ", wor", '{"n":1}'])
  const query = new URL(asked.at(-1), url).searchParams
  assert.deepEqual([query.getAll("topic"), query.get("since")], [["t"], "1970-01-01T00:00:00.000Z"])
})

test("the options determine where a text stream begins", async () => {
  const url = await streamOf(["end", "{}"])
  assert.deepEqual(await read(textStream("t", { url, transport: "sse", last: 5 })), [])
  const query = new URL(asked.at(-1), url).searchParams
  assert.deepEqual([query.get("last"), query.get("since")], ["5", null])
})

test("a text stream fails if a part was lost", async () => {
  const gap = { reason: "expired", resumed_at: "e-5", certain: true }
  const unsure = await streamOf(["gap", JSON.stringify({ ...gap, certain: false })], ["", envelope(6, { data: "all" })], ["end", "{}"])
  assert.deepEqual(await read(textStream("t", { url: unsure, transport: "sse" })), ["all"])
  for (const lost of [gap, { ...gap, certain: false, after: "e-1" }]) {
    const url = await streamOf(["", envelope(1, { data: "a" })], ["gap", JSON.stringify(lost)], ["", envelope(6, { data: "b" })], ["end", "{}"])
    await assert.rejects(read(textStream("t", { url, transport: "sse" })), { name: "TriviumError", code: "gap", message: "text was lost: expired" })
  }
})

test("a text stream fails with the hub's refusal", async () => {
  const url = await serve((_, response) => {
    response.writeHead(403, { "content-type": "application/problem+json" })
    response.end('{"type":"urn:trivium:problem:forbidden","status":403,"detail":"not this topic"}')
  })
  await assert.rejects(read(textStream("t", { url, transport: "sse" })), { code: "forbidden", message: "not this topic" })
})

test("a slow reader stops a text stream from reading ahead, and canceling closes the connection", async () => {
  let sent = 0
  const url = await serve((request, response) => {
    if (new URL(request.url, "http://x").searchParams.get("wait") === "0") return json(response, polled("e-0"))
    sent++
    json(response, polled("e-" + sent, envelope(sent, { data: "part " + sent })))
  })
  const reader = textStream("t", { url, transport: "poll" }).getReader()
  for (let n = 1; n <= 4; n++) {
    assert.deepEqual(await reader.read(), { done: false, value: "part " + n })
    for (let turns = 0; turns < 100; turns++) await new Promise(setImmediate) // time in which the client could read ahead
    assert.ok(sent <= n + 1, "the client sends at most one poll ahead of the part that was read")
  }
  await reader.cancel()
  const before = sent
  for (let turns = 0; turns < 1000; turns++) await new Promise(setImmediate)
  assert.ok(sent <= before + 1)
})
