import { TriviumError } from "./error.js"
import { connectionLost, type Message, readPushed, throwReason, type Transport } from "./transport.js"

/** The status that a close code stands for (docs/protocol.md#close-codes), and the error's code. */
const closeCodes: Record<number, [status: number, code: string]> = {
  1013: [503, "too-many-connections"],
  4400: [400, "bad-request"],
  4401: [401, "token-ended"],
  4403: [403, "forbidden"],
  4408: [408, "too-slow"],
}

/** The `ref` of the command that renews the token. */
export const authRef = "auth"

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
      const [status, name] = closeCodes[code] ?? [0, "network"]
      fail(new TriviumError(reason || "closed with " + code, name, status))
    }
    c._renew = (token) => socket.send(JSON.stringify({ op: "auth", token, ref: authRef }))
    return () => {
      socket.onmessage = socket.onclose = socket.onerror = null
      socket.close(1000)
    }
  }).catch((e: unknown) => {
    if (opened) throw e
    return throwReason(c, e)
  })
}
