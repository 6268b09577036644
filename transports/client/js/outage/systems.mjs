// The servers and clients that are compared. Their options are the defaults, unless stated otherwise.
import { spawn } from "node:child_process"
import { createServer } from "node:http"
import { Server } from "socket.io"
import { io } from "socket.io-client"
import WebSocket, { WebSocketServer } from "ws"
import { connect } from "../dist/trivium.js"

/** Starts a hub, and returns its port and a function that ends it. */
function startHub(program) {
  const flags = ["--auth", "none", "--http", "127.0.0.1:0", "--udp", "off", "--admin", "off", "--no-demo"]
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TRIVIUM_"))) // without the variables that configure a hub
  const hub = spawn(program, ["serve", ...flags], { env, stdio: ["ignore", "ignore", "pipe"] })
  process.once("exit", () => hub.kill("SIGKILL")) // also after an uncaught error
  return new Promise((done, failed) => {
    let log = ""
    hub.stderr.setEncoding("utf8").on("data", (text) => {
      log += text
      const [, port] = /ws:\/\/127\.0\.0\.1:(\d+)\/ws/.exec(log) ?? []
      if (port) done({ port: Number(port), stop: () => new Promise((ended) => hub.once("exit", ended) && hub.kill("SIGKILL")) })
    })
    hub.once("error", (e) => failed(new Error(`${program}: ${e.message}; set --trivium to the path of the trivium binary`)))
    hub.once("exit", (code) => failed(new Error(`${program} ended with ${code}: ${log}`)))
  })
}

async function trivium({ program }) {
  const { port, stop } = await startHub(program)
  const publisher = connect({ url: "http://127.0.0.1:" + port, topics: [] })
  return {
    port,
    send: (n) => publisher.publish("outage", n),
    connect(url, receive) {
      const events = connect({ url, topics: ["outage"] })
      events.on("event", ({ data }) => receive(data))
      return () => events.close()
    },
    async stop() {
      publisher.close()
      await stop()
    },
  }
}

async function listen(server) {
  await new Promise((done) => server.listen(0, "127.0.0.1", done))
  return server.address().port
}

const socketIO = (options) => async () => {
  const http = createServer()
  const server = new Server(http, options)
  return {
    port: await listen(http),
    send: (n) => void server.emit("event", n),
    connect(url, receive) {
      const socket = io(url, { forceNew: true })
      socket.on("event", receive)
      return () => socket.close()
    },
    stop: () => server.close(),
  }
}

async function ws() {
  const http = createServer()
  const server = new WebSocketServer({ server: http })
  return {
    port: await listen(http),
    send(n) {
      for (const client of server.clients) client.send(n)
    },
    connect(url, receive) {
      let socket
      let timer
      const open = () => {
        socket = new WebSocket(url.replace("http", "ws"))
        socket.on("message", (data) => receive(Number(data)))
        socket.on("error", () => {}) // "close" follows
        socket.on("close", () => (timer = setTimeout(open, 500)))
      }
      open()
      return () => {
        socket.removeAllListeners("close")
        clearTimeout(timer)
        socket.terminate()
      }
    },
    stop() {
      server.close()
      http.close()
    },
  }
}

export const systems = [
  { name: "trivium.js", start: trivium },
  { name: "socket.io", start: socketIO({}) },
  { name: "socket.io, `connectionStateRecovery`", start: socketIO({ connectionStateRecovery: {} }) },
  { name: "ws, connecting again after 500 ms", start: ws },
]
