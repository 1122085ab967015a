/**
 * A root filesystem that is written to without being changed: the container sees a copy-on-write view of a folder, which goes with it. The specification
 * names a root in its bundle, and the folder beneath in an annotation, so that whoever makes the bundle knows what to mount there.
 */
import type { OciSpec } from "../schema/OciSpec.ts"

/** The annotation that holds the absolute path of the folder beneath. */
export const annotation = "berth.rootfs.overlay"
/** Where the view stands in the bundle. */
export const root = "rootfs"

/** The folder beneath; `null` where the root filesystem is used as it is. */
export const lowerOf = (spec: OciSpec): string | null => {
  const lower = spec.annotations?.[annotation]
  return lower === undefined || spec.root?.path !== root ? null : lower
}

/** The folder of this machine in which a container's own files are found, as far as that can be known from outside. */
export const filesOf = (spec: OciSpec): string | null => lowerOf(spec) ?? spec.root?.path ?? null
