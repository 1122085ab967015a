#!/usr/bin/env node
/**
 * Holds `src` to its shape: each folder imports only what lies below it, pure files stay pure, no import goes in a
 * circle, no file grows past its limit. Reads the text of the imports and nothing else, so it needs no package; what a
 * name means is for the type checker and the linter.
 */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const maxLines = 400

/** A place in `src`, the first that fits; what it may import from `src`, and which packages; and why that is so. */
const places = [
  {
    fits: /^actors\/\w+Machine\.ts$/,
    may: /^schema\/|^actors\/\w+Machine\.ts$/,
    packages: /^effect(\/|$)/,
    isPure: true,
    why: "a state machine is data in, data out, from schema and pure effect modules only"
  },
  { fits: /^schema\//, may: /^schema\//, packages: /^effect(\/|$)/, why: "schema is what all else stands on" },
  { fits: /^spec\//, may: /^(schema|spec)\//, packages: /^effect(\/|$)/, why: "spec builds data from data" },
  {
    fits: /^services\//,
    may: /^(schema|spec|services)\//,
    packages: /^effect(\/|$)/,
    why: "services are ports, what serves them lies above, nothing of Node belongs here"
  },
  {
    fits: /^(actors|host)\//,
    may: /^(schema|spec|services|actors|host)\//,
    packages: /^effect(\/|$)/,
    why: "behaviour knows the ports and not what is behind them"
  },
  {
    fits: /^rpc\//,
    may: /^(schema|spec|services|rpc)\//,
    packages: /^effect(\/|$)/,
    why: "a client must never drag the daemon in"
  },
  {
    fits: /^layers\//,
    may: /^((schema|spec|services|actors|host|rpc|layers)\/|version\.ts$)/,
    packages: /./,
    why: "layers are put together by the mains and know none of them"
  },
  {
    fits: /^shim\//,
    may: /^(?!cli\/|main\.ts|index\.ts|testing\.ts)/,
    packages: /./,
    why: "the shim is a main of its own"
  },
  {
    fits: /^cli\//,
    may: /^(?!shim\/|main\.ts|index\.ts|testing\.ts)/,
    packages: /./,
    why: "the command is a main of its own"
  },
  { fits: /^version\.ts$/, may: /^$/, packages: /^$/, why: "the version is a word and needs nothing" },
  { fits: /^(main|index|testing)\.ts$/, may: /./, packages: /./, why: "a main may import all" }
]

/** The modules of effect that hold no Effect: what a state machine may import. */
const pure = new Set(
  (
    "Array BigDecimal BigInt Boolean Brand ByteSize Chunk Combiner Data DateTime Differ Duration Equal Equivalence " +
    "Function Graph Hash HashMap HashRing HashSet HKT Iterable Match Newtype NonEmptyIterable Number Optic Option " +
    "Order Ordering Predicate Record Redacted Reducer RegExp Result Schema SchemaAST SchemaIssue SemVer SemVerRange " +
    "String Struct Symbol Trie Tuple Types UndefinedOr Unify Utils absurd cast flow hole identity pipe"
  ).split(" ")
)

const importing = /^(?:import|export)\s+(type\s)?\s*(?:([\w*\s{},$]+?)\s+from\s*)?"([^"\n]+)"|\bimport\("([^"\n]+)"\)/gm

/** What a file imports: where, from what, which names, and whether anything of it is there at run time and at once. */
const importsOf = (text) =>
  Array.from(text.matchAll(importing), ([all, type, clause = "", from, lazily]) => {
    const names =
      /\{([^}]*)\}/
        .exec(clause)?.[1]
        .split(",")
        .map((name) => name.trim())
        .filter(Boolean) ?? []
    const onlyTypes = names.length > 0 && names.every((name) => name.startsWith("type ")) && clause.startsWith("{")
    return {
      from: from ?? lazily,
      names: names.map((name) => name.replace(/^type\s+/, "").replace(/\s+as\s.*/, "")),
      isEager: lazily === undefined && type === undefined && !onlyTypes,
      all
    }
  })

const read = (src, file) => {
  const text = readFileSync(join(src, file), "utf8")
  let at = 0
  const imports = importsOf(text).map((entry) => {
    at = text.indexOf(entry.all, at)
    const line = text.slice(0, at).split("\n").length
    at += entry.all.length
    const isOurs = entry.from.startsWith(".")
    return { ...entry, line, isOurs, to: isOurs ? relative(src, resolve(src, dirname(file), entry.from)) : entry.from }
  })
  return { file, imports, lines: text.split("\n").length - (text.endsWith("\n") ? 1 : 0) }
}

const impure = ({ from, names }) => {
  if (from === "effect") return names.length === 0 ? ["all"] : names.filter((name) => !pure.has(name))
  return pure.has(from.replace(/^effect\//, "")) ? [] : [from]
}

const problemsOf = ({ file, imports, lines }) => {
  const place = places.find(({ fits }) => fits.test(file))
  const long =
    lines > maxLines
      ? [
          {
            file,
            line: maxLines + 1,
            what: `has ${lines} lines, more than ${maxLines}`,
            why: "cut it where it has two subjects"
          }
        ]
      : []
  if (place === undefined)
    return [
      ...long,
      {
        file,
        line: 1,
        what: "lies in no known place",
        why: "scripts/check-imports.mjs lists the folders of src and what each may import"
      }
    ]
  const wrong = imports.flatMap((entry) => {
    const { isOurs, line, to } = entry
    const tell = (what) => [{ file, line, what, why: place.why }]
    if (isOurs ? !place.may.test(to) : !place.packages.test(to)) return tell(`imports ${to}`)
    if (place.isPure && !isOurs)
      return impure(entry).flatMap((name) => tell(`imports ${name} of effect, which is not pure`))
    return []
  })
  return [...long, ...wrong]
}

/** One circle for each set of files that import each other, told at the import that closes it. */
const circlesOf = (files) => {
  const byName = new Map(files.map((entry) => [entry.file, entry]))
  const done = new Set()
  const found = []
  const visit = (file, trail) => {
    const start = trail.findIndex((step) => step.file === file)
    if (start >= 0) {
      const circle = [...trail.slice(start).map((step) => step.file), file]
      const { file: last, line } = trail.at(-1)
      return found.push({
        file: last,
        line,
        what: `closes a circle of imports: ${circle.join(" -> ")}`,
        why: "what two files share belongs in a third below both"
      })
    }
    if (done.has(file)) return
    for (const { isEager, isOurs, line, to } of byName.get(file)?.imports ?? []) {
      if (isEager && isOurs) visit(to, [...trail, { file, line }])
    }
    done.add(file)
  }
  for (const { file } of files) visit(file, [])
  return found
}

const src = resolve(process.argv[2] ?? fileURLToPath(new URL("../src", import.meta.url)))
const files = readdirSync(src, { recursive: true })
  .filter((file) => file.endsWith(".ts"))
  .sort()
  .map((file) => read(src, file))
const problems = [...files.flatMap(problemsOf), ...circlesOf(files)]
for (const { file, line, what, why } of problems) console.error(`src/${file}:${line}: ${what}: ${why}`)
console.error(`imports: ${files.length} files, ${problems.length} problems`)
process.exitCode = problems.length === 0 ? 0 : 1
