/**
 * What makes the bundled command start fast. Each is a measured gain on one call to a daemon, which takes 190 ms
 * without them: deep imports and the lazy segmenter 45 ms, lazy built-ins 10 ms; the compile cache of `build.mjs` adds
 * 30 ms.
 */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { basename, join } from "node:path"

/**
 * Turns `import { Effect } from "effect"` into `import * as Effect from "effect/Effect"`. The bundler keeps all of a
 * namespace that comes through an index file, but only what is used of one that is imported from its own module.
 */
export const deepImports = (root) => {
  const require = createRequire(join(root, "package.json"))
  const indexes = new Map()
  const modulesOf = (specifier) => {
    if (!indexes.has(specifier)) {
      const file = require.resolve(specifier)
      const text = basename(file) === "index.js" ? readFileSync(file, "utf8") : ""
      const modules = text.matchAll(/^export \* as (\w+) from "\.\/([\w/]+)\.js"/gm)
      indexes.set(specifier, new Map(Array.from(modules, ([, name, at]) => [name, at])))
    }
    return indexes.get(specifier)
  }
  const deepen = (statement, names, specifier) => {
    const modules = modulesOf(specifier)
    const imports = names
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== "" && !name.startsWith("type "))
      .map((name) => {
        const [module, alias = module] = name.split(/\s+as\s+/)
        const at = modules.get(module)
        return at ? `import * as ${alias} from "${specifier}/${at}"` : `import { ${name} } from "${specifier}"`
      })
    return imports.join("; ") + "\n".repeat(statement.split("\n").length - 1) // The source map counts lines.
  }
  return {
    name: "deep-imports",
    setup: (build) =>
      build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
        if (path.includes("/node_modules/")) return undefined
        const statement = /^import \{([^}]*)\} from "((?:effect|@effect\/[\w-]+)(?:\/[\w-]+)*)"/gm
        return { contents: readFileSync(path, "utf8").replace(statement, deepen), loader: "ts" }
      })
  }
}

/** effect/cli makes one of these when it is loaded, for 15 ms, and needs it only to draw a prompt. */
export const lazySegmenter = {
  name: "lazy-segmenter",
  setup: (build) =>
    build.onLoad({ filter: /\/effect\/dist\/cli\/CliOutput\.js$/ }, ({ path }) => {
      const text = readFileSync(path, "utf8")
      const lazy = text.replace(
        /const (\w+) = \/\*#__PURE__\*\/new Intl\.Segmenter\(([^)]*)\)/,
        "const $1 = { segment: (text) => ($1.made ??= new Intl.Segmenter($2)).segment(text) }"
      )
      if (lazy === text) throw new Error("effect/cli no longer makes a segmenter when it is loaded: drop this plugin")
      return { contents: lazy, loader: "js" }
    })
}

/**
 * The `require` of the CommonJS packages in a bundle. These three take 20 ms to load and serve only connections over
 * TLS or compressed ones; a package that takes them apart at once still gets the real thing.
 */
export const lazyBuiltins = `import { createRequire as __createRequire } from "node:module";
const __require = __createRequire(import.meta.url);
const __lazy = new Set(["https", "tls", "zlib"]);
const require = (id) => __lazy.has(id) ? new Proxy({}, { get: (_, key) => __require(id)[key] }) : __require(id);`
