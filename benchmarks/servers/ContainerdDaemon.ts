/** containerd on folders of its own, so that one that serves this machine notices nothing. */
import { Effect } from "effect"
import { existsSync, rmdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { attempt } from "../Failure.ts"
import type { Folders } from "../Workspace.ts"
import { serve } from "./Server.ts"

/** Its shims listen here whatever the configuration says. */
const shimSockets = ["/run/containerd", "/run/containerd/s"]

const configuration = (folders: Folders, socket: string) => `version = 2
root = "${join(folders.durable, "root")}"
state = "${join(folders.volatile, "state")}"
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "${socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "${join(folders.durable, "opt")}"
`

const removeEmpty = (path: string) => Effect.ignore(attempt("folder", () => rmdirSync(path)))

/** The socket of a containerd that lives as long as the scope. */
export const start = Effect.fnUntraced(function* (program: string, folders: Folders) {
  const socket = join(folders.volatile, "containerd.sock")
  const config = join(folders.durable, "config.toml")
  yield* attempt("containerd", () => writeFileSync(config, configuration(folders, socket)))
  const absent = shimSockets.filter((path) => !existsSync(path))
  yield* Effect.addFinalizer(() => Effect.forEach(absent.reverse(), removeEmpty, { discard: true }))
  yield* serve({
    what: "containerd",
    program,
    args: ["--config", config],
    socket,
    log: join(folders.durable, "containerd.log")
  })
  return socket
})
