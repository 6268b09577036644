// Builds dist/: `npm ci && npm run build`. The files are committed, so that a checkout without Node.js has them.
import { readFileSync, writeFileSync } from "node:fs"
import { build } from "esbuild"
import { generateDtsBundle } from "dts-bundle-generator"
import ts from "typescript"

const options = {
  outdir: "dist",
  bundle: true,
  minify: true,
  mangleProps: /^_/, // internal members, which are longer than the private ones of a class
  format: "esm",
  target: "es2022",
  legalComments: "none",
}

await build({ ...options, entryPoints: { trivium: "src/index.ts" } })
const [types] = generateDtsBundle([{ filePath: "src/index.ts", output: { noBanner: true } }], { preferredConfigPath: "tsconfig.json" })
writeFileSync("dist/trivium.d.ts", types)

// The additional modules use the client by what it exports.
const client = { name: "client", setup: (b) => b.onResolve({ filter: /^\.\.\/index\.js$/ }, () => ({ path: "./trivium.js", external: true })) }
for (const name of ["eventsource", "text-stream", "react"]) {
  const source = `src/packages/${name}.ts`
  await build({ ...options, entryPoints: { ["trivium-" + name]: source }, plugins: [client], external: ["react"] })
  const { outputText, diagnostics } = ts.transpileDeclaration(readFileSync(source, "utf8"), { fileName: source, reportDiagnostics: true })
  if (diagnostics?.length) throw new Error(ts.formatDiagnostics(diagnostics, { getCanonicalFileName: String, getCurrentDirectory: () => ".", getNewLine: () => "\n" }))
  writeFileSync(`dist/trivium-${name}.d.ts`, outputText.replaceAll("../index.js", "./trivium.js"))
}
