// Runs app.js with the globals of React Native and nothing else, in a context of Node.js or in Hermes. Arguments: the URL of a
// test server, the token of its hub, and "node" or "hermes".
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { request } from "node:http"
import { createRequire } from "node:module"
import { createInterface } from "node:readline"
import vm from "node:vm"

const [server, token, engine] = process.argv.slice(2)
const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8")

/** Returns the npm package as a script that sets `client`, because bundlers for React Native resolve imports and exports. */
function clientScript() {
  const [text, names] = /export\s*\{([^}]*)\};?\s*$/.exec(read("../../dist/npm/index.js"))
  const members = names.replace(/(\w+) as (\w+)/g, "$2: $1")
  return `globalThis.client = (() => {${read("../../dist/npm/index.js").replace(text, `return {${members}}`)}})()`
}

const requests = new Map()
const sockets = new Map()

const calls = {
  log: ({ text }) => console.log(text),
  timer: ({ id, ms }) => void setTimeout(() => answer(id, "fired"), ms),
  request({ id, url, method, headers, body }) {
    const sent = request(url, { method, headers, agent: false }, async (response) => {
      try {
        let text = ""
        for await (const part of response.setEncoding("utf8")) text += part
        answer(id, "completed", { status: response.statusCode, headers: response.headers, text })
      } catch {
        answer(id, "failed")
      }
    })
    sent.on("error", () => answer(id, "failed"))
    sent.end(body)
    requests.set(id, sent)
  },
  abort: ({ request }) => void requests.get(request).destroy(),
  socket({ id, url, protocols }) {
    const socket = new WebSocket(url, protocols)
    sockets.set(id, socket)
    socket.onopen = () => answer(id, "opened")
    socket.onmessage = ({ data }) => answer(id, "message", { data })
    socket.onclose = ({ code, reason }) => answer(id, "closed", { code, reason })
    socket.onerror = () => {
      socket.onclose = null
      answer(id, "failed", { message: "the network failed" })
    }
  },
  send: ({ socket, data }) => sockets.get(socket).send(data),
  close: ({ socket, code }) => sockets.get(socket).close(code),
  exit({ error }) {
    if (error) console.log(error)
    process.exit(error ? 1 : 0)
  },
}

/** Passes an answer on to globals.js. */
function answer(id, name, value) {
  receive(JSON.stringify({ id, name, ...value }))
}

function callHost(text) {
  const { name, ...args } = JSON.parse(text)
  calls[name](args)
}

const settings = `globalThis.server = ${JSON.stringify(server)}; globalThis.token = ${JSON.stringify(token)}`
const scripts = [settings, read("globals.js"), clientScript(), read("app.js")]
let receive

function runInNode() {
  const context = vm.createContext({ callHost })
  receive = (text) => context.receive(text)
  for (const script of scripts) vm.runInContext(script, context)
}

/**
 * Runs the scripts in Hermes 0.12, the engine of React Native 0.70, after the same translation as for React Native. Hermes
 * evaluates the lines of its standard input.
 */
async function runInHermes() {
  const require = createRequire(import.meta.url)
  const { transformAsync } = require("@babel/core")
  const preset = [require("@react-native/babel-preset"), { disableImportExportTransform: true, enableBabelRuntime: false }]
  const hermes = spawn(require.resolve("hermes-engine-cli/package.json").replace("package.json", "linux64-bin/hermes"), ["-prompt=", "-prompt2="], { stdio: ["pipe", "pipe", "inherit"] })
  const evaluate = (line) => hermes.stdin.write(line + "\n")
  receive = (text) => evaluate(`receive(${JSON.stringify(text)})`)
  createInterface({ input: hermes.stdout }).on("line", (line) => {
    if (line.startsWith("host: ")) callHost(line.slice(6))
    else if (!["undefined", "Promise <pending>", ""].includes(line)) console.log("hermes:", line)
  })
  evaluate('void (globalThis.callHost = (text) => print("host: " + text))')
  for (const script of scripts) {
    const { code } = await transformAsync(script, { presets: [preset], filename: "script.js", configFile: false, babelrc: false, compact: true, comments: false })
    evaluate(`void eval(${JSON.stringify(code)})`)
  }
}

await (engine === "hermes" ? runInHermes() : runInNode())
