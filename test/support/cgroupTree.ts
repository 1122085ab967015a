/**
 * A machine's `/proc` and cgroups as plain files, laid out from `test/fixtures/cgroup/*.txt`: a line `=== path` begins a file, `=== path -> target` is a
 * symbolic link, `\0` in the text a zero byte.
 */
import { Effect } from "effect"
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { temporaryFolder } from "./folder.ts"

const fixtures = new URL("../fixtures/cgroup/", import.meta.url)

export interface Tree {
  readonly root: string
  /** Writes a file, with its folders. */
  readonly write: (path: string, text: string) => void
  readonly link: (path: string, target: string) => void
  readonly remove: (path: string) => void
}

/** The machine of `machine.txt` with the groups of the files named; removed with the scope. */
export const cgroupTree = Effect.fnUntraced(function* (...names: ReadonlyArray<"v1" | "v2" | "hybrid">) {
  const root = yield* temporaryFolder
  const tree: Tree = {
    root,
    write: (path, text) => {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), text.replaceAll("\\0", "\0"))
    },
    link: (path, target) => {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      rmSync(join(root, path), { force: true })
      symlinkSync(target, join(root, path))
    },
    remove: (path) => rmSync(join(root, path), { recursive: true })
  }
  for (const name of ["machine", ...names]) {
    for (const section of readFileSync(new URL(`${name}.txt`, fixtures), "utf8")
      .split(/^=== /m)
      .slice(1)) {
      const [heading = "", ...lines] = section.split("\n")
      const [path = "", target] = heading.split(" -> ")
      if (target === undefined) tree.write(path, lines.join("\n"))
      else tree.link(path, target)
    }
  }
  return tree
})
