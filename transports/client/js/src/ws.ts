import { TriviumError } from "./error.js"
import { load } from "./load.js"
import { connectionLost, type Message, readPushed, type Transport } from "./transport.js"

/** The `ref` of the command that renews the token. */
export const authRef = "auth"

/** Reads a WebSocket. */
export const ws: Transport = (c) => {
  let opened = false
  return readPushed(c, (message, fail) => {
    const protocols = ["trivium.v1"]
    if (c._token) protocols.push("trivium.bearer." + c._token)
    const url = c._url("ws", c._cursor ? { cursor: c._cursor } : {}).replace(/^http/, "ws")
    const socket = new WebSocket(url, protocols)
    socket.onmessage = ({ data }: { data: string }) => {
      opened = true
      message(() => {
        if (!data.startsWith('{"op"')) return { op: "event", raw: data }
        const m = JSON.parse(data) as Message
        return m.op === "hello" ? { ...m, op: "open" } : m
      })
    }
    socket.onerror = () => fail(connectionLost()) // Node.js 20 does not call onclose after a refused handshake
    socket.onclose = ({ code, reason }) => {
      // The close code of a hub is 4000 plus a status. The error message before the close frame may have been lost.
      fail(new TriviumError(reason || "closed with " + code, "network", code > 4399 ? code - 4000 : 0))
    }
    c._renew = (token) => socket.send(JSON.stringify({ op: "auth", token, ref: authRef }))
    return () => socket.close(1000)
  }).catch(async (e: unknown) => {
    if (!opened) await load("http").then((http) => http._throwReason(c, e))
    throw e
  })
}
