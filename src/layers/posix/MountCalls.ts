/** Mounting and unmounting, from libc. Calls that fail answer -1 and leave errno as it is. Only the calls are here; `Libc.ts` makes effects of them. */

type Koffi = typeof import("koffi")

/** MNT_DETACH | UMOUNT_NOFOLLOW: at once, whoever still looks at it. */
const detach = 2 | 8

export interface MountCalls {
  readonly mount: (type: string, target: string, flags: number, data: string) => number
  readonly unmount: (target: string) => number
}

/** Binds the functions, which is for when the first mount is made. */
export const bind = (koffi: Koffi): MountCalls => {
  const libc = koffi.load(null)
  const mount = libc.func(
    "int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)"
  )
  const umount2 = libc.func("int umount2(const char *target, int flags)")
  return {
    mount: (type, target, flags, data) => mount(type, target, type, flags, data),
    unmount: (target) => umount2(target, detach)
  }
}
