import { assert, describe, it } from "@effect/vitest"
import { normalised } from "../../src/cli/Cli.ts"

/** What the user types, and what the parser reads. */
const cases: ReadonlyArray<readonly [typed: string, read: string]> = [
  // The command of a container is left alone, with and without `--`.
  ["exec web sh -c x", "exec -- web sh -c x"],
  ["exec web ls -la", "exec -- web ls -la"],
  ["exec web -- ls -la", "exec -- web ls -la"],
  ["exec web ls -- -x", "exec -- web ls -- -x"],
  ["exec -d web ls --help", "exec --detach -- web ls --help"],
  ["exec web -d ls -d", "exec --detach -- web ls -d"],
  ["run --rootfs D ls -la", "run --rootfs=D -- ls -la"],
  ["run --rootfs D -- ls -la", "run --rootfs=D -- ls -la"],
  ["run --rootfs=D true", "run --rootfs=D -- true"],
  ["run --rm true -n", "run --rm -- true -n"],
  ["run --rootfs D sh -c exit --json", "run --rootfs=D -- sh -c exit --json"],
  ["create --bundle B", "create --bundle=B"],
  ["spec -e A=1 -e B=2 env", "spec --env=A=1 --env=B=2 -- env"],
  // Short options: alone, together, with a value after them, in them, or after an equals sign.
  ["run -it --rootfs D sh", "run --interactive --tty --rootfs=D -- sh"],
  ["run -itu0 --rootfs D sh", "run --interactive --tty --user=0 --rootfs=D -- sh"],
  ["kill -s 9 web", "kill --signal=9 -- web"],
  ["kill -s9 web", "kill --signal=9 -- web"],
  ["kill -s=9 web", "kill --signal=9 -- web"],
  ["run -d=false sh", "run --detach=false -- sh"],
  ["run -eA=1 sh", "run --env=A=1 -- sh"],
  // Values may look like options; a switch takes no value.
  ["run --memory-swap -1 sh", "run --memory-swap=-1 -- sh"],
  ["run --hostname --odd sh", "run --hostname=--odd -- sh"],
  ["kill --all 1", "kill --all -- 1"],
  ["start -a on", "start --attach -- on"],
  ["run --no-new-privileges=false sh", "run --no-new-privileges=false -- sh"],
  // Elsewhere options may stand anywhere.
  ["kill web -s 9 db", "kill --signal=9 -- web db"],
  ["ps -a --filter status==stopped", "ps --all --filter=status==stopped"],
  ["events --no-follow", "events --no-follow"],
  // Options of every command may stand before it or after it.
  ["-n prod --json ps", "ps --namespace=prod --json"],
  ["ps -n prod --json", "ps --namespace=prod --json"],
  ["--address unix:///x exec web ls", "exec --address=unix:///x -- web ls"],
  ["--log-level debug ps", "ps --log-level=debug"],
  ["containers ls --json", "containers ls --json"],
  ["--json containers -n x rm a b", "containers rm --json --namespace=x -- a b"],
  // Aliases stay: the parser knows them.
  ["rm -f web", "rm --force -- web"],
  // Help.
  ["help run", "run --help"],
  ["help", "--help"],
  ["run --help", "run --help"],
  ["run -h", "run --help"],
  ["--version", "--version"],
  // What is unknown is left for the parser to refuse.
  ["ps --nope", "ps --nope"],
  ["ps --nope=1 x", "ps --nope=1 -- x"],
  ["ps -az", "ps --all -z"],
  ["ps --a", "ps --a"],
  ["nope -x y", "nope -x y"],
  ["wait --timeout", "wait --timeout"],
  ["logs -", "logs -- -"],
  ["", ""]
]

const words = (text: string) => text.split(" ").filter((word) => word !== "")

describe("Argv.normalise", () => {
  it.each(cases)("%s", (typed, read) => {
    assert.deepStrictEqual(normalised(words(typed)), words(read))
  })

  it("keeps empty words and spaces of the container's command", () => {
    assert.deepStrictEqual(normalised(["exec", "web", "sh", "-c", "a  b", ""]), [
      "exec",
      "--",
      "web",
      "sh",
      "-c",
      "a  b",
      ""
    ])
  })

  it("keeps an empty value", () => {
    assert.deepStrictEqual(normalised(["run", "--hostname", "", "sh"]), ["run", "--hostname=", "--", "sh"])
  })
})
