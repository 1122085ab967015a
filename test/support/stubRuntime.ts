/** A runtime that is a shell script: what real runtimes do only when they break. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ContainerId, Namespace } from "../../src/schema/Ids.ts"
import type { Target } from "../../src/services/OciRuntime.ts"

/** Writes an executable script; answers `--version` by itself unless the body does. */
export const writeScript = (path: string, body: string): string => {
  writeFileSync(path, `#!/bin/sh\n${body}\n`)
  chmodSync(path, 0o755)
  return path
}

/**
 * In the body: `$root`, `$log`, `$command`, `$bundle`, `$pidfile`, `$process`, `$console` and `$id` are from the command
 * line.
 * `--version` says 1.2.3.
 */
export const stubRuntime = (path: string, body: string): string =>
  writeScript(
    path,
    `
[ "$1" = --version ] && echo "stub version 1.2.3" && exit 0
while [ $# -gt 0 ]; do
  case "$1" in
    --root) root=$2; shift ;; --log) log=$2; shift ;; --log-format) shift ;;
    --bundle) bundle=$2; shift ;; --pid-file) pidfile=$2; shift ;; --process) process=$2; shift ;;
    --console-socket) console=$2; shift ;; --format) shift ;; --*) flags="$flags $1" ;;
    *) if [ -z "$command" ]; then command=$1; else id=$1; fi ;;
  esac
  shift
done
${body}`
  )

/** A target with a bundle folder of its own in `folder`. */
export const stubTarget = (folder: string, id: string, config = "{}"): Target => {
  const bundle = join(folder, `bundle-${id}`)
  mkdirSync(bundle)
  writeFileSync(join(bundle, "config.json"), config)
  return { namespace: Namespace.make("ns"), containerId: ContainerId.make(id), bundle }
}
