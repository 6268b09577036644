// This script runs the suite. wasm_exec.js writes the output of the suite to the console.
const suite = await (await fetch("suite.json")).json()
if (suite.env.TRIVIUM_JS) globalThis.trivium = await import(suite.env.TRIVIUM_JS)
const go = new Go()
go.argv = ["suite", ...suite.args]
go.env = suite.env
let code = "the suite has not called exit"
go.exit = it => { code = it }
try {
  const { instance } = await WebAssembly.instantiateStreaming(fetch("suite.wasm"), go.importObject)
  await go.run(instance)
} catch (error) {
  code = String(error)
}
console.log("exit: " + code)
