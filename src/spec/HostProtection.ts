/**
 * What a container must not see, write or open although it shares the kernel: paths below /proc and /sys that no
 * namespace separates, and devices. Paths that a host lacks are skipped by the runtimes.
 */
import type { DeviceRule } from "../schema/Resources.ts"

/** Kernel files that tell of the host or of other containers. */
export const maskedPaths: ReadonlyArray<string> = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware"
]

/** Kernel files through which root would change the host. */
export const readonlyPaths: ReadonlyArray<string> = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger"
]

const device = (type: string, access: string, major?: number, minor?: number): DeviceRule => ({
  allow: true,
  type,
  ...(major === undefined ? {} : { major }),
  ...(minor === undefined ? {} : { minor }),
  access
})

/** Nodes of any device may be made, but only these be used: null, zero, full, random, urandom, tty, console, ptmx, pts. */
export const deviceRules: ReadonlyArray<DeviceRule> = [
  { allow: false, access: "rwm" },
  device("c", "m"),
  device("b", "m"),
  ...[3, 5, 7, 8, 9].map((minor) => device("c", "rwm", 1, minor)),
  ...[0, 1, 2].map((minor) => device("c", "rwm", 5, minor)),
  device("c", "rwm", 136)
]

/** What a privileged container gets instead. */
export const everyDevice: ReadonlyArray<DeviceRule> = [{ allow: true, access: "rwm" }]
