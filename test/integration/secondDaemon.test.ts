/** A daemon that finds another one in its place, or something else: what it says, with what it ends, and that the first one stays. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { existsSync, lstatSync, mkdirSync, renameSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { berth, daemonOn, folders, shimsOf } from "../support/daemon.ts"
import type { Daemon } from "../support/daemon.ts"
import { canRunContainers } from "../support/rootfs.ts"
import { eventually, json, Served, socketOf, well } from "../support/served.ts"

/** What such a daemon says and ends with, if it cannot begin. */
const ends = (args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly code: number | string | null; readonly out: string; readonly err: string }>((resume) => {
    const child = execFile(berth, ["daemon", ...args], { timeout: 30_000 }, (error, out, err) =>
      resume(Effect.succeed({ code: error === null ? 0 : (error.code ?? error.signal ?? null), out, err }))
    )
    return Effect.sync(() => void child.kill("SIGTERM"))
  })

/** A socket that nobody listens on. Node removes what it bound, so it is moved away first. */
const leaveSocket = (path: string) =>
  Effect.callback<void>((resume) => {
    const server = createServer().listen(`${path}.bound`, () => {
      renameSync(`${path}.bound`, path)
      server.close(() => resume(Effect.void))
    })
  })

if (canRunContainers) {
  layer(Served.layer, { excludeTestServices: true, timeout: "60 seconds" })("a second daemon", (it) => {
    const test = (name: string, body: (place: Daemon, path: string) => Effect.Effect<void, unknown>) =>
      it.effect(
        name,
        () => Effect.flatMap(Served, (place) => Effect.andThen(body(place, socketOf(place)), well(place))),
        60_000
      )

    const [line, one] = [(err: string) => err.trimEnd().split("\n"), 1]

    test("on the same socket is refused, and the first one stays", (place, path) =>
      Effect.gen(function* () {
        const { root, state } = yield* folders
        const { code, err, out } = yield* ends(["--root", root, "--state", state, "--listen", place.address])
        assert.deepStrictEqual([code, out, line(err).length], [125, "", one])
        assert.match(err, new RegExp(`^berth: socket ${path}: another daemon answers on it \\(`))
        yield* eventually("its shim is gone", () => shimsOf(state).length === 0)
      }).pipe(Effect.scoped))

    test("on the same root is refused, and the first one stays", (place) =>
      Effect.gen(function* () {
        const { folder, state } = yield* folders
        const listen = `unix://${join(folder, "other.sock")}`
        const { code, err, out } = yield* ends(["--root", place.root, "--state", state, "--listen", listen])
        assert.deepStrictEqual([code, out, line(err).length], [125, "", one])
        assert.match(err, /^berth: store: root is in use by another berth daemon \(/)
        assert.isFalse(existsSync(join(folder, "other.sock")))
        yield* eventually("its shim is gone", () => shimsOf(state).length === 0)
      }).pipe(Effect.scoped))

    test("on the same state folder is refused, and the first one stays", (place) =>
      Effect.gen(function* () {
        const { folder, root } = yield* folders
        const listen = `unix://${join(folder, "other.sock")}`
        const { code, err, out } = yield* ends(["--root", root, "--state", place.state, "--listen", listen])
        assert.deepStrictEqual([code, out, line(err).length], [125, "", one])
        assert.match(
          err,
          new RegExp(`^berth: state folder: another berth daemon uses ${place.state} \\(stop .*--state`)
        )
        assert.isFalse(existsSync(join(folder, "other.sock")))
      }).pipe(Effect.scoped))

    test("with --json says so in JSON too", (place) =>
      Effect.gen(function* () {
        const { root, state } = yield* folders
        const { err } = yield* ends(["--json", "--root", root, "--state", state, "--listen", place.address])
        assert.deepInclude(json(line(err).at(-1) ?? ""), { error: { _tag: "Unavailable", ...errorOf(place) } })
        yield* eventually("its shim is gone", () => shimsOf(state).length === 0)
      }).pipe(Effect.scoped))

    const errorOf = (place: Daemon) => ({
      what: `socket ${socketOf(place)}`,
      problem: "another daemon answers on it",
      mend: "stop that one, or choose another --listen"
    })

    test("is not confused by what lies where its socket should", () =>
      Effect.gen(function* () {
        const { folder, root, state } = yield* folders
        const at = join(folder, "thing")
        const start = ends(["--root", root, "--state", state, "--listen", `unix://${at}`])
        writeFileSync(at, "keep me")
        const file = yield* start
        assert.deepStrictEqual([file.code, lstatSync(at).isFile()], [125, true])
        assert.match(file.err, /^berth: socket .*thing: the file is not a socket \(/)
        mkdirSync(join(folder, "dir"))
        const inFolder = yield* ends(["--root", root, "--state", state, "--listen", `unix://${join(folder, "dir")}`])
        assert.deepStrictEqual([inFolder.code, line(inFolder.err).length], [125, 1])
        yield* eventually("its shims are gone", () => shimsOf(state).length === 0)
      }).pipe(Effect.scoped))

    test("takes the place of one that died and left its socket", () =>
      Effect.gen(function* () {
        const place = yield* folders
        const path = join(place.folder, "berth.sock")
        yield* leaveSocket(path)
        assert.isTrue(lstatSync(path).isSocket())
        yield* Effect.flatMap(daemonOn(place, { runtime: "runc" }), well).pipe(Effect.scoped)
        yield* eventually("its shim is gone", () => shimsOf(place.state).length === 0)
      }).pipe(Effect.scoped))

    test("says what is wrong with an address", () =>
      Effect.gen(function* () {
        const { root, state } = yield* folders
        for (const listen of ["tcp://1.2.3.4", "relative.sock", "http://127.0.0.1:1", `unix:///${"x".repeat(120)}`]) {
          const { code, err } = yield* ends(["--root", root, "--state", state, "--listen", listen])
          assert.deepStrictEqual([listen, code, line(err).length], [listen, 2, 1])
          assert.match(err, /^berth: address: /)
        }
        assert.deepStrictEqual(shimsOf(state), [])
      }).pipe(Effect.scoped))
  })
}
