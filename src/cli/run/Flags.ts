/** The options of `run`, `create`, `spec` and `exec`: their names and what can be checked of a value by itself. `SpecInput` makes a specification of them. */
import { Flag } from "effect/cli"
import type { Command } from "effect/cli"
import { ContainerId, ExecId, RuntimeName } from "../../schema/Ids.ts"
import { Cpus, Size, SizeLimit } from "../../schema/Units.ts"
import * as Params from "../Params.ts"
import { resourceFlags } from "./ResourceFlags.ts"

const size = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withSchema(Size),
    Flag.withMetavar("<SIZE>"),
    Flag.withDescription(description),
    Flag.optional
  )

const whole = (name: string, description: string) =>
  Flag.Int(name).pipe(Flag.withMetavar("<N>"), Flag.withDescription(description), Flag.optional)

/** What any process may be given. */
export const processFlags = {
  env: Params.texts("env", "<NAME[=VALUE]>", "A variable of its environment; a name alone passes on your own").pipe(
    Params.alias("e")
  ),
  envFile: Flag.Path("env-file").pipe(
    Flag.withMetavar("<FILE>"),
    Flag.withDescription("Variables from a file, one a line as for --env, # for comments; --env wins"),
    Flag.atLeast(0)
  ),
  workdir: Params.text("workdir", "<DIR>", "Where it starts; default / or what the container has").pipe(
    Params.alias("w")
  ),
  user: Params.text("user", "<USER[:GROUP]>", "Whom it runs as, by name or number; default root").pipe(
    Params.alias("u")
  ),
  privileged: Params.toggle("privileged", "With every capability"),
  interactive: Params.toggle("interactive", "Keep standard input open and, where attached, copy it").pipe(
    Params.alias("i")
  ),
  terminal: Params.toggle("tty", "With a terminal").pipe(Params.alias("t"))
} as const

/** What shapes the specification of a container. */
export const specFlags = {
  rootfs: Flag.Path("rootfs").pipe(
    Flag.withMetavar("<DIR>"),
    Flag.withDescription("The root filesystem, used as it is"),
    Flag.optional
  ),
  overlay: Params.toggle("overlay", "Copy on write over --rootfs, thrown away afterwards"),
  bundle: Flag.Path("bundle").pipe(
    Flag.withMetavar("<DIR>"),
    Flag.withDescription(
      "A folder with config.json, in place of --rootfs and of every option that shapes the specification"
    ),
    Flag.optional
  ),
  snapshot: Params.text("snapshot", "<KEY>", "A snapshot as root filesystem"),
  readOnly: Params.toggle("read-only", "Make the root filesystem read-only"),
  hostname: Params.text("hostname", "<NAME>", "Its host name"),
  network: Params.text(
    "network",
    "<none|host|ns:PATH>",
    "Its network: none, the host's, or that of a namespace; default none"
  ),
  memory: size("memory", "Most memory, such as 64m or 1g"),
  memoryReservation: size("memory-reservation", "Memory that it keeps when memory is short"),
  memorySwap: Flag.String("memory-swap").pipe(
    Flag.withSchema(SizeLimit),
    Flag.withMetavar("<SIZE>"),
    Flag.withDescription("Most memory and swap together, -1 for no limit"),
    Flag.optional
  ),
  cpus: Flag.String("cpus").pipe(
    Flag.withSchema(Cpus),
    Flag.withMetavar("<N>"),
    Flag.withDescription("Most processor time, such as 1.5 processors"),
    Flag.optional
  ),
  cpuShares: whole("cpu-shares", "Its share of the processors when they are busy, 1024 is usual"),
  cpusetCpus: Params.text("cpuset-cpus", "<LIST>", "The processors that it may use, such as 0-2,4"),
  cpusetMems: Params.text("cpuset-mems", "<LIST>", "The memory nodes that it may use"),
  pidsLimit: whole("pids-limit", "Most processes and threads, -1 for no limit"),
  blkioWeight: whole("blkio-weight", "Its share of block I/O, from 10 to 1000"),
  ...resourceFlags,
  mount: Params.texts(
    "mount",
    "<type=…,src=…,dst=…>",
    "A mount; also ro, size= and mode= for tmpfs, propagation= for bind"
  ),
  capAdd: Params.texts("cap-add", "<CAP>", "A capability more, or ALL"),
  capDrop: Params.texts("cap-drop", "<CAP>", "A capability less, or ALL"),
  noNewPrivileges: Flag.Boolean("no-new-privileges").pipe(
    Flag.withoutNegation,
    Flag.withDescription("No program may gain rights, the default unless --privileged; =false to allow it"),
    Flag.optional
  ),
  seccomp: Params.text("seccomp", "<FILE|unconfined>", "A system call filter in place of the usual one, or none"),
  device: Params.texts("device", "<SRC[:DST][:rwm]>", "A device of the host"),
  ulimit: Params.texts("ulimit", "<NAME=SOFT[:HARD]>", "A limit, such as nofile=1024:2048"),
  securityOpt: Params.texts("security-opt", "<label=…|apparmor=…>", "Security labels"),
  sysctl: Params.texts("sysctl", "<NAME=VALUE>", "A kernel parameter of its namespaces"),
  uidmap: Params.texts("uidmap", "<CONTAINER:HOST:SIZE>", "User ids in a user namespace; needs --gidmap too"),
  gidmap: Params.texts("gidmap", "<CONTAINER:HOST:SIZE>", "Group ids in a user namespace"),
  annotation: Params.texts("annotation", "<NAME=VALUE>", "An annotation of the specification")
} as const

/** What goes with a container and its task. */
export const taskFlags = {
  id: Flag.String("id").pipe(
    Flag.withSchema(ContainerId),
    Flag.withMetavar("<ID>"),
    Flag.withDescription("What to call it; default a random name"),
    Flag.optional
  ),
  label: Params.texts("label", "<KEY=VALUE>", "A label, to find it by"),
  runtime: Flag.String("runtime").pipe(
    Flag.withSchema(RuntimeName),
    Flag.withMetavar("<NAME>"),
    Flag.withDescription("What runs it; default what the daemon has as default"),
    Flag.optional
  ),
  rm: Params.toggle("rm", "Delete it when it has ended; run does that always unless detached"),
  log: Params.text(
    "log",
    "<json|file:PATH|fifo:DIR|binary:PATH|none>",
    "Where its output goes; default json, the log that logs and attach read"
  ),
  logOpt: Params.texts(
    "log-opt",
    "<NAME=VALUE>",
    "Of a json log max-size=10m and max-file=3; of a binary, its arguments"
  ),
  restart: Params.text("restart", "<POLICY>", "When to start it again"),
  stopSignal: Params.signal("stop-signal").pipe(
    Flag.withDescription("What stop sends first; default TERM"),
    Flag.optional
  ),
  stopTimeout: Params.duration("stop-timeout").pipe(
    Flag.withDescription("How long stop waits; default 10s"),
    Flag.optional
  ),
  pidFile: Flag.Path("pid-file").pipe(
    Flag.withMetavar("<FILE>"),
    Flag.withDescription("Write its process id to a file"),
    Flag.optional
  )
} as const

/** The name of an exec. */
export const execId = Flag.String("id").pipe(
  Flag.withSchema(ExecId),
  Flag.withMetavar("<EXEC>"),
  Flag.withDescription("What to call the process; default a random name"),
  Flag.optional
)

/** Every option of `create`. */
export const createFlags = { ...taskFlags, ...processFlags, ...specFlags } as const

export type ProcessFlags = Command.Command.Config.Infer<typeof processFlags>
export type SpecFlags = Command.Command.Config.Infer<typeof specFlags>
export type TaskFlags = Command.Command.Config.Infer<typeof taskFlags>
export type CreateFlags = TaskFlags & ProcessFlags & SpecFlags
