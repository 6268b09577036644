// Builds dist/: `npm ci && npm run build`. The files are committed, so that a checkout without Node.js has them.
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, resolve } from "node:path"
import { build } from "esbuild"
import { generateDtsBundle } from "dts-bundle-generator"
import { minify } from "terser"
import ts from "typescript"

const parts = ["http", "publish", "storage", "tabs", "token"]
const modules = ["eventsource", "text-stream", "react"]

let mangleCache = {} // the short names of internal members; each member has the same name in all files

/** Bundles entry points, and returns the text of each file. */
async function bundle(entryPoints, ...plugins) {
  const options = { bundle: true, minify: true, mangleProps: /^_/, format: "esm", target: "es2022", legalComments: "none", write: false, outdir: "dist" }
  const define = { PARTS_VERSION: '"PARTS_VERSION"' }
  const result = await build({ ...options, mangleCache, entryPoints, plugins, define, external: ["react"] })
  mangleCache = result.mangleCache
  const files = new Map()
  for (const { path, text } of result.outputFiles) {
    files.set(basename(path), (await minify(text, { module: true, ecma: 2022, compress: { passes: 3, hoist_funs: true } })).code)
  }
  return files
}

/** Returns a plugin that replaces a module. */
function replace(filter, replacement) {
  return { name: "replace", setup: (b) => b.onResolve({ filter }, () => replacement) }
}

/** Returns entry points by the names of their files. */
function entries(names, prefix, dir) {
  return Object.fromEntries(names.map((name) => [prefix + name, `src/${dir}${name}.ts`]))
}

// The files that a hub serves: trivium.js contains the core, which imports the parts when it needs them. The modules import trivium.js.
const load = replace(/^\.\/load\.js$/, { path: resolve("src/load.hub.ts") })
const core = await bundle({ trivium: "src/index.ts" }, load) // first, as it gets the shortest names
const served = new Map([...core, ...(await bundle(entries(parts, "trivium-", ""), load))])
const hash = createHash("sha256")
for (const name of parts) hash.update(served.get(`trivium-${name}.js`))
const version = hash.digest("hex").slice(0, 16)
const files = new Map()
for (const [name, text] of served) files.set(name, text.replace("PARTS_VERSION", version))
const servedClient = replace(/^\.\.\/index\.js$/, { path: "./trivium.js", external: true })
for (const [name, text] of await bundle(entries(modules, "trivium-", "packages/"), servedClient)) files.set(name, text)

// The files of the npm package: the client in one file, which bundlers split by themselves.
const client = replace(/^\.\.\/index\.js$/, { path: "./index.js", external: true })
for (const [name, text] of await bundle({ index: "src/index.ts" })) files.set("npm/" + name, text)
for (const [name, text] of await bundle(entries(modules, "", "packages/"), client)) files.set("npm/" + name, text)

const [types] = generateDtsBundle([{ filePath: "src/index.ts", output: { noBanner: true } }], { preferredConfigPath: "tsconfig.json" })
files.set("trivium.d.ts", types)
for (const name of modules) {
  const fileName = `src/packages/${name}.ts`
  const { outputText, diagnostics } = ts.transpileDeclaration(readFileSync(fileName, "utf8"), { fileName, reportDiagnostics: true })
  if (diagnostics?.length) throw new Error(ts.formatDiagnostics(diagnostics, { getCanonicalFileName: String, getCurrentDirectory: () => ".", getNewLine: () => "\n" }))
  files.set(`trivium-${name}.d.ts`, outputText.replaceAll("../index.js", "./trivium.js"))
}

rmSync("dist", { recursive: true, force: true })
mkdirSync("dist/npm", { recursive: true })
for (const [name, text] of files) writeFileSync("dist/" + name, text)
