/** The command line in a terminal, as a person uses it: the built command in a real pseudo-terminal, against a real daemon and real containers. */
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { NodeServices } from "@effect/platform-node"
import { Context, Effect, Layer, Scope } from "effect"
import { spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { berth, daemonOn, folders, shimsOf } from "../support/daemon.ts"
import { inTerminal } from "../support/pty.ts"
import { canRunContainers, rootfsOfFile } from "../support/rootfs.ts"

const rootfs = rootfsOfFile()
const [enter, escape, ctrlC, ctrlD, left] = ["\r", "\u001b", "\u0003", "\u0004", "\u001b[D"]
const detach = "\u0010\u0011"
const clearScreen = "\u001b[H\u001b[J"
const prompt = "/ # "

class Server extends Context.Service<
  Server,
  {
    readonly folder: string
    readonly env: Readonly<Record<string, string>>
    /** Kills the daemon, runs, and starts another one. */
    readonly without: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  }
>()("test/terminalCli/Server") {}

const server = Layer.effect(
  Server,
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const place = yield* folders
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => shimsOf(place.state).forEach((pid) => process.kill(pid, "SIGKILL")))
    )
    const start = Effect.orDie(daemonOn(place)).pipe(Scope.provide(scope))
    let { address, pid } = yield* start
    return Server.of({
      folder: place.folder,
      env: { BERTH_ADDRESS: address },
      without: (effect) =>
        Effect.gen(function* () {
          process.kill(pid, "SIGKILL")
          const result = yield* effect
          ;({ pid } = yield* start)
          return result
        })
    })
  })
).pipe(Layer.provide(NodeServices.layer))

/** A name for a container that is gone with the scope. */
const freshName = Effect.gen(function* () {
  const { env } = yield* Server
  return yield* Effect.acquireRelease(
    Effect.sync(() => `tty-${randomUUID().slice(0, 8)}`),
    (id) => Effect.sync(() => spawnSync(berth, ["delete", "-f", id], { env: { ...process.env, ...env } }))
  )
})

/** The command in a terminal of its own. */
const command = (args: ReadonlyArray<string>, size?: { readonly cols: number; readonly rows: number }) =>
  Effect.flatMap(Server, ({ env }) => inTerminal(berth, args, { env, ...size }))

/** The command without a terminal: what it prints and its exit code. */
const plainly = (...args: ReadonlyArray<string>) =>
  Effect.map(Server, ({ env }) => {
    const { status, stderr, stdout } = spawnSync(berth, args, { env: { ...process.env, ...env }, encoding: "utf8" })
    return { status, stderr, stdout }
  })

const statusOf = (id: string) =>
  Effect.map(plainly("inspect", "--json", id), ({ stdout }) => /"status":"(\w+)"/.exec(stdout)?.[1])

const childrenOf = (pid: number) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number)

/** A shell in a new container. */
const shell = Effect.fnUntraced(function* (...options: ReadonlyArray<string>) {
  const id = yield* freshName
  const terminal = yield* command(["run", "-it", "--id", id, "--rootfs", rootfs, ...options, "sh"])
  yield* terminal.shows(prompt)
  return { id, terminal }
})

describe.skipIf(!canRunContainers)("in a terminal", () => {
  withLayer(server, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.effect("run -it has a prompt, a line editor, and the exit code of its shell", () =>
      Effect.gen(function* () {
        const { id, terminal } = yield* shell()
        yield* terminal.type("tty; echo $TERM")
        yield* terminal.type(enter)
        yield* terminal.shows("/dev/pts/0\r\nxterm\r\n")
        yield* terminal.type(`echo on${left}${left}mx\u007fo${enter}`)
        yield* terminal.shows("\r\nmoon\r\n")
        yield* terminal.shows(prompt)
        yield* terminal.type(`exit 5${enter}`)
        assert.strictEqual(yield* terminal.ended, 5)
        assert.strictEqual((yield* plainly("inspect", id)).status, 1)
      })
    )

    it.effect("ctrl-C interrupts what runs in the container and not the command; ctrl-D ends the shell", () =>
      Effect.gen(function* () {
        const { terminal } = yield* shell()
        yield* terminal.type(`sleep 1000${enter}`)
        yield* terminal.shows("sleep 1000\r\n")
        yield* Effect.sleep("200 millis")
        yield* terminal.type(ctrlC)
        yield* terminal.shows(prompt)
        yield* terminal.type(`echo code $?${enter}`)
        yield* terminal.shows("\r\ncode 130\r\n")
        yield* terminal.shows(prompt)
        yield* terminal.type(`cat${enter}`)
        yield* terminal.shows("cat\r\n")
        yield* Effect.sleep("200 millis")
        yield* terminal.type(`one${enter}`)
        yield* terminal.shows("one\r\none\r\n")
        yield* terminal.type(ctrlD)
        yield* terminal.shows(prompt)
        yield* terminal.type(ctrlD)
        assert.strictEqual(yield* terminal.ended, 0)
      })
    )

    it.effect("the process has the size of the terminal, from the first moment and at every change", () =>
      Effect.gen(function* () {
        const id = yield* freshName
        const watch = "trap 'stty size' WINCH; stty size; echo ready; while :; do sleep 0.05; done"
        const args = ["run", "-it", "--id", id, "--rootfs", rootfs, "sh", "-c", watch]
        const terminal = yield* command(args, { cols: 101, rows: 41 })
        yield* terminal.shows("41 101\r\nready\r\n")
        for (const [width, height] of [
          [120, 50],
          [60, 20]
        ] as const) {
          yield* terminal.resize(width, height)
          yield* terminal.shows(`${height} ${width}\r\n`)
        }
        assert.deepStrictEqual(yield* plainly("resize", id, "90", "35"), { status: 0, stdout: `${id}\n`, stderr: "" })
        yield* terminal.shows("35 90\r\n")
      })
    )

    it.effect("the detach keys leave the container running, and attach comes back to it, again and again", () =>
      Effect.gen(function* () {
        const { id, terminal } = yield* shell()
        yield* terminal.type(`word=kept${enter}`)
        yield* terminal.shows(prompt)
        yield* terminal.type(detach)
        yield* terminal.shows(`berth: detached, "berth attach ${id}" comes back\r\n`)
        assert.strictEqual(yield* terminal.ended, 0)
        assert.strictEqual(yield* statusOf(id), "running")
        for (const cols of [70, 70]) {
          const again = yield* command(["attach", "--detach-keys", "ctrl-],x", id], { cols, rows: 20 })
          // Nobody pressed a key: the shell draws its prompt again.
          yield* again.shows(prompt)
          yield* again.type(`echo $word; stty size${enter}`)
          yield* again.shows("kept\r\n20 70\r\n")
          yield* again.type("\u001dx")
          assert.strictEqual(yield* again.ended, 0)
        }
        const last = yield* command(["attach", id])
        yield* last.shows(prompt)
        // The first of the keys alone is a key like any other.
        yield* last.type(`\u0010${enter}exit 7${enter}`)
        assert.strictEqual(yield* last.ended, 0)
        assert.strictEqual((yield* plainly("inspect", id)).status, 1)
      })
    )

    it.effect("exec -it is the same for a process beside it", () =>
      Effect.gen(function* () {
        const { id, terminal } = yield* shell()
        const args = ["exec", "-it", "--id", "second", id, "sh"]
        const second = yield* command(args, { cols: 66, rows: 33 })
        yield* second.shows(prompt)
        yield* second.type(`tty; stty size${enter}`)
        yield* second.shows("/dev/pts/1\r\n33 66\r\n")
        yield* second.type(detach)
        yield* second.shows(`"berth attach --exec second ${id}" comes back`)
        assert.strictEqual(yield* second.ended, 0)
        const again = yield* command(["attach", "--exec", "second", id])
        yield* again.shows(prompt)
        yield* again.type(`exit 9${enter}`)
        assert.strictEqual(yield* again.ended, 0)
        assert.strictEqual((yield* plainly("wait", "--exec", "second", id)).stdout, "9\n")
        const third = yield* command(["exec", "-it", id, "sh", "-c", "exit 4"])
        assert.strictEqual(yield* third.ended, 4)
        yield* terminal.type(`exit${enter}`)
        assert.strictEqual(yield* terminal.ended, 0)
      })
    )

    it.effect("a full-screen editor works, and draws itself again for who comes back", () =>
      Effect.gen(function* () {
        const { id, terminal } = yield* shell()
        yield* terminal.type(`cd /tmp; vi poem${enter}`)
        yield* terminal.shows(clearScreen)
        yield* terminal.shows("\u001b[23;1H~")
        yield* terminal.shows("poem")
        yield* terminal.type("ia rose is")
        yield* terminal.shows("a rose is")
        yield* terminal.type(detach)
        assert.strictEqual(yield* terminal.ended, 0)
        const again = yield* command(["attach", id], { cols: 80, rows: 12 })
        yield* again.shows("a rose is")
        yield* again.shows("\u001b[11;1H~")
        yield* again.type(`${enter}a rose${escape}`)
        yield* again.shows("a rose")
        yield* Effect.sleep("300 millis")
        yield* again.type(`:wq${enter}`)
        yield* again.shows("/tmp # ")
        assert.strictEqual((yield* plainly("exec", id, "cat", "/tmp/poem")).stdout, "a rose is\na rose\n")
        yield* again.type(`exit${enter}`)
        assert.strictEqual(yield* again.ended, 0)
      })
    )

    it.effect("start -ai begins with the size of the terminal that it is started from", () =>
      Effect.gen(function* () {
        const id = yield* freshName
        yield* plainly(
          "create",
          "-it",
          "--id",
          id,
          "--rootfs",
          rootfs,
          "sh",
          "-c",
          "stty size; read word; echo got $word; exit 6"
        )
        const terminal = yield* command(["start", "-ai", id], { cols: 77, rows: 44 })
        yield* terminal.shows("44 77\r\n")
        yield* terminal.type(`it${enter}`)
        yield* terminal.shows("got it\r\n")
        assert.strictEqual(yield* terminal.ended, 6)
      })
    )

    it.effect("leaves the user's terminal as it was, however it ends", () =>
      Effect.gen(function* () {
        const { env, folder, without } = yield* Server
        /** In a shell of the user's, which compares the modes of its terminal before and after. */
        const around = Effect.fnUntraced(function* (words: string) {
          const [before, after] = [join(folder, "before"), join(folder, "after")]
          const script = `trap : INT; stty -a > ${before}; ${berth} ${words}; echo code $?; stty -a > ${after}; cmp ${before} ${after} && echo same; sleep 60`
          return yield* inTerminal("/bin/sh", ["-c", script], { env })
        })
        const id = yield* freshName
        const run = `run -it --id ${id} --rootfs ${rootfs}`

        const exited = yield* around(`${run} sh`)
        yield* exited.shows(prompt)
        yield* exited.type(`exit 3${enter}`)
        yield* exited.shows("code 3\r\nsame\r\n")

        const failed = yield* around(`${run} /no/such/program`)
        yield* failed.shows("code 127\r\nsame\r\n")

        for (const [signal, code] of [
          ["SIGTERM", 143],
          ["SIGHUP", 129]
        ] as const) {
          const killed = yield* around(code === 143 ? `${run} sh` : `attach ${id}`)
          yield* killed.shows(prompt)
          for (const pid of childrenOf(killed.pid)) process.kill(pid, signal)
          yield* killed.shows(`code ${code}\r\nsame\r\n`)
          assert.strictEqual(yield* statusOf(id), "running")
        }

        const lost = yield* around(`attach ${id}`)
        yield* lost.shows(prompt)
        yield* without(lost.shows(/berth: daemon at .*: the connection was closed.*code 125\r\nsame\r\n/s))

        const detached = yield* around(`attach ${id}`)
        yield* detached.shows(prompt)
        yield* detached.type(detach)
        yield* detached.shows("code 0\r\nsame\r\n")

        const watched = yield* around(`attach --no-stdin ${id}`)
        yield* watched.shows(prompt)
        yield* watched.type(ctrlC)
        yield* watched.shows("same\r\n")
        assert.strictEqual(yield* statusOf(id), "running")
      })
    )

    it.effect("what is shown is not changed on its way", () =>
      Effect.gen(function* () {
        const { terminal } = yield* shell()
        yield* terminal.type(`stty -opost; printf 'a\\nb\\r\\n\\033[1mc'; stty opost; echo${enter}`)
        yield* terminal.shows("a\nb\r\n\u001b[1mc")
        assert.notInclude(terminal.text(), "a\r\nb")
      })
    )

    it.effect("input that is no terminal cannot be typed on", () =>
      Effect.gen(function* () {
        const id = yield* freshName
        const refused = yield* plainly("run", "-it", "--id", id, "--rootfs", rootfs, "sh")
        assert.strictEqual(refused.status, 2)
        assert.match(refused.stderr, /^berth: run: --tty: the input device is not a TTY \(see berth run --help\)\n/)
        // Without -i nothing is typed, and the output is as one.
        const args = ["run", "-t", "--id", id, "--rootfs", rootfs, "sh", "-c", "tty; echo error >&2; exit 8"]
        assert.deepStrictEqual(yield* plainly(...args), {
          status: 8,
          stdout: "/dev/pts/0\r\nerror\r\n",
          stderr: ""
        })
        yield* plainly("run", "-dit", "--id", id, "--rootfs", rootfs, "sh")
        assert.match((yield* plainly("attach", id)).stderr, /the input device is not a TTY/)
        assert.match(
          (yield* plainly("exec", "-it", id, "true")).stderr,
          /^berth: exec: --tty: the input device is not a TTY \(see berth exec --help\)\n/
        )
      })
    )
  })
})
