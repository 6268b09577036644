import { connect, createServer } from "node:net"

/** Relays TCP connections to servers on this machine. While the network is down, all connections are reset. */
export class Relay {
  outages = 0
  #isDown = false
  #servers = []
  #sockets = new Set()

  /** Starts to relay to a port, and returns the URL of the relay. */
  async add(port) {
    const server = createServer((client) => {
      if (this.#isDown) return client.resetAndDestroy()
      const upstream = connect(port, "127.0.0.1")
      for (const [from, to] of [[client, upstream], [upstream, client]]) {
        this.#sockets.add(from)
        from.on("error", () => {}) // "close" follows
        from.on("close", () => {
          this.#sockets.delete(from)
          to.destroy()
        })
        from.pipe(to)
      }
    })
    this.#servers.push(server)
    await new Promise((done) => server.listen(0, "127.0.0.1", done))
    return "http://127.0.0.1:" + server.address().port
  }

  down() {
    this.outages++
    this.#isDown = true
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  up() {
    this.#isDown = false
  }

  close() {
    for (const server of this.#servers) server.close()
    for (const socket of this.#sockets) socket.destroy()
  }
}
