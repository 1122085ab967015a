#!/usr/bin/env node
/**
 * Bundles `src` into `dist`. Two kinds of bundle: the command and the shim carry all that they need but the native
 * koffi, and start fast; the library leaves every package to the app that uses it. Every file stands directly in
 * `dist`, so that `import.meta.dirname` is `dist` in all of them. A build replaces file by file, what is imported
 * before what imports it: a command that starts meanwhile finds whole files.
 */
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("..", import.meta.url))
const dist = join(root, "dist")
const stampFile = join(dist, ".stamp")

/** The first major version of Node that berth runs on. */
export const neededNode = Number.parseInt(
  JSON.parse(readFileSync(join(root, "package.json"), "utf8")).engines.node.replace(/\D*/, "")
)

const sources = () => {
  const files = readdirSync(join(root, "src"), { recursive: true, withFileTypes: true })
  const all = files.filter((file) => file.isFile()).map((file) => join(file.parentPath ?? file.path, file.name))
  return [
    ...all.sort(),
    ...["package.json", "package-lock.json", "scripts/build.mjs", "scripts/bundling.mjs"].map((file) =>
      join(root, file)
    )
  ]
}

const digest = () => {
  const hash = createHash("sha256")
  for (const file of sources())
    hash
      .update(`${file.slice(root.length)}\0`)
      .update(readFileSync(file))
      .update("\0")
  return hash.digest("hex")
}

/** Whether `dist` is what `build` would make now. */
export const isBuilt = () =>
  existsSync(join(root, "src")) && existsSync(stampFile) && readFileSync(stampFile, "utf8") === digest()

/**
 * What `node` is given: it refuses a Node that is too old in one line, and keeps compiled code beside the bundles, not
 * in a shared temporary folder where another user could plant some. It loads the bundle dynamically, because a static
 * import would be compiled before that.
 */
const entry = (main) => `import module from "node:module"
if (Number.parseInt(process.versions.node) < ${neededNode}) {
  const what = "needs Node ${neededNode} or newer, found " + process.version
  process.stderr.write("berth: cannot start: " + what + ': install it or run "npm run build" in the checkout\\n')
  process.exit(125)
}
module.enableCompileCache(import.meta.dirname + "/.cache")
await import("./${main}.js")
`

const bundle = async () => {
  const [esbuild, { deepImports, lazyBuiltins, lazySegmenter }] = await Promise.all([
    import("esbuild"),
    import("./bundling.mjs")
  ])
  const common = {
    absWorkingDir: root,
    outdir: dist,
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
    target: `node${neededNode}`,
    splitting: true,
    entryNames: "[name]",
    chunkNames: "[name]-[hash]",
    sourcemap: "linked",
    sourcesContent: false,
    legalComments: "none",
    logLevel: "silent"
  }
  const program = {
    ...common,
    minify: true,
    external: ["koffi"],
    banner: { js: lazyBuiltins },
    // ws looks for two native add-ons at every start; Node has both functions built in.
    define: { "process.env.WS_NO_BUFFER_UTIL": '"1"', "process.env.WS_NO_UTF_8_VALIDATE": '"1"' },
    plugins: [deepImports(root), lazySegmenter]
  }
  const library = { ...common, packages: "external", plugins: [deepImports(root)] }
  const built = await Promise.all([
    esbuild.build({ ...program, entryPoints: { "berth-main": "src/main.ts" } }),
    // On its own: what it shared with the command would hold the command's code too, 4 MB in every shim.
    esbuild.build({ ...program, entryPoints: { "shim-main": "src/shim/main.ts" } }),
    esbuild.build({ ...library, entryPoints: { index: "src/index.ts", testing: "src/testing.ts" } })
  ])
  const entries = [
    { name: "berth.js", contents: entry("berth-main") },
    { name: "shim.js", contents: entry("shim-main") }
  ]
  const outputs = built.flatMap((result) =>
    result.outputFiles.map(({ path, contents }) => ({ name: basename(path), contents }))
  )
  const isChunk = ({ name }) => /-[A-Z0-9]{8}\.js/.test(name)
  return [...outputs.filter(isChunk), ...outputs.filter((output) => !isChunk(output)), ...entries]
}

/** Builds, whether needed or not. */
export const build = async () => {
  const stamp = digest()
  const outputs = await bundle()
  mkdirSync(dist, { recursive: true })
  const replace = (name, contents) => {
    const half = join(dist, `.${name}.${process.pid}`)
    writeFileSync(half, contents)
    renameSync(half, join(dist, name))
  }
  for (const { name, contents } of outputs) replace(name, contents)
  const current = new Set(outputs.map(({ name }) => name))
  for (const name of readdirSync(dist)) if (/\.js(\.map)?$/.test(name) && !current.has(name)) rmSync(join(dist, name))
  rmSync(join(dist, ".cache"), { recursive: true, force: true })
  replace(basename(stampFile), stamp)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const start = performance.now()
  await build()
  process.stderr.write(`build: dist in ${((performance.now() - start) / 1000).toFixed(1)} s\n`)
}
