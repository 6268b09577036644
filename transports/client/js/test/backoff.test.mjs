// Tests how long the client waits before it reconnects.
import assert from "node:assert/strict"
import { createServer } from "node:http"
import { test } from "node:test"
import { connect } from "../dist/trivium.js"

test("waits are short again after a connection that was open for a second", async () => {
  let isDown = true
  const sockets = new Set()
  const server = createServer((request, response) => {
    if (isDown) return request.socket.destroy()
    const first = new URL(request.url, "http://x").searchParams.get("wait") === "0"
    if (first) response.setHeader("content-type", "application/json").end('{"cursor":"e-1","events":[]}')
  })
  server.on("connection", (socket) => sockets.add(socket))
  await new Promise((done) => server.listen(0, "127.0.0.1", done))
  const events = connect({ url: "http://127.0.0.1:" + server.address().port, transport: "poll" })
  const phase = (name) => new Promise((done) => events.on("state", (s) => s.phase === name && done(s)))
  for (let tries = 0; tries < 15; tries++) {
    const waiting = phase("waiting")
    events.reconnect()
    await waiting
  }
  isDown = false
  const live = phase("live")
  events.reconnect()
  await live
  await new Promise((done) => setTimeout(done, 1100))
  isDown = true
  const waiting = phase("waiting")
  for (const socket of sockets) socket.destroy()
  assert.ok((await waiting).wait <= 2000)
  events.close()
  server.close()
})
