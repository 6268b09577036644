// Builds dist/: `npm ci && npm run build`. The files are committed, so that a checkout without Node.js has them.
import { writeFileSync } from "node:fs"
import { build } from "esbuild"
import { generateDtsBundle } from "dts-bundle-generator"

await build({
  entryPoints: { trivium: "src/index.ts" },
  outdir: "dist",
  bundle: true,
  minify: true,
  mangleProps: /^_/, // internal members, which are longer than the private ones of a class
  format: "esm",
  target: "es2022",
  legalComments: "none",
})
const [types] = generateDtsBundle([{ filePath: "src/index.ts", output: { noBanner: true } }], { preferredConfigPath: "tsconfig.json" })
writeFileSync("dist/trivium.d.ts", types)
