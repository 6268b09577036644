// This page reads events with browser APIs only: an EventSource, which resumes by itself, and a
// WebSocket and a loop of polls, which resume with the cursor of the last event. The token is in
// the fragment of the address.
const token = location.hash.slice(1)

async function control(path) {
  const answer = await fetch(path, { method: "POST" })
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`)
  return answer.json()
}

// transports has one function per transport. The function connects and returns a function that
// disconnects. It calls opened when it is connected, and event with each envelope.
const transports = {
  EventSource(hub, opened, event) {
    const events = new EventSource(`${hub}/sse?envelope=1&topic=>&access_token=${token}`)
    events.addEventListener("trivium.open", opened)
    events.onmessage = message => event(JSON.parse(message.data))
    return () => events.close()
  },

  WebSocket(hub, opened, event) {
    let socket, cursor = "", over = false
    const connect = () => {
      socket = new WebSocket(`${hub.replace("http", "ws")}/ws?topic=>&access_token=${token}${cursor && "&cursor=" + cursor}`)
      socket.onmessage = message => {
        const it = JSON.parse(message.data)
        if (it.id) cursor = it.id
        if (it.op === "hello") opened()
        else if (!it.op) event(it)
      }
      socket.onclose = () => over || setTimeout(connect, 100)
    }
    connect()
    return () => { over = true; socket.close() }
  },

  poll(hub, opened, event) {
    const controller = new AbortController(), tab = Math.random().toString(36).slice(2)
    const loop = async () => {
      for (let cursor = ""; !controller.signal.aborted;) {
        try {
          const answer = await fetch(`${hub}/poll?topic=>&wait=${cursor ? 25 : 0}&tab=${tab}`, {
            headers: { "Authorization": `Bearer ${token}`, ...(cursor && { "Last-Event-ID": cursor }) },
            signal: controller.signal,
          })
          const batch = await answer.json()
          cursor = batch.cursor
          opened()
          batch.events.forEach(event)
        } catch {
          await new Promise(soon => setTimeout(soon, 100))
        }
      }
    }
    loop()
    return () => controller.abort()
  },
}

// until waits for a condition that callbacks make true.
async function until(what, condition) {
  for (const begin = Date.now(); !condition(); await new Promise(soon => setTimeout(soon, 10))) {
    if (Date.now() - begin > 180_000) throw new Error(`timeout: ${what}`)
  }
}

async function run(name) {
  const { id, url } = await control("/hubs")
  let opened = 0
  const numbers = []
  const close = transports[name](url, () => opened++, event => numbers.push(event.data.n))
  await until(`${name}: open`, () => opened > 0)
  for (const expected of [3, 6, 9]) {
    await control(`/hubs/${id}/publish?topic=a.b&n=3`)
    await until(`${name}: ${expected} events`, () => numbers.length >= expected)
    await control(`/hubs/${id}/cut`)
  }
  close()
  if (numbers.join() !== "1,2,3,4,5,6,7,8,9") throw new Error(`${name}: ${numbers}`)
  console.log(`${name}: ${numbers}`)
}

let code = 0
try {
  await Promise.all(Object.keys(transports).map(run))
} catch (error) {
  code = String(error)
}
console.log(`exit: ${code}`)
