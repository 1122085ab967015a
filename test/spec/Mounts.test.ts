import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Mounts from "../../src/spec/Mounts.ts"
import { bad, good } from "./support.ts"

const context = { privileged: false, ownNetwork: true, gidMappings: undefined }
const places = (mounts: ReadonlyArray<{ readonly destination: string }>) => mounts.map((mount) => mount.destination)
const at = (mounts: ReturnType<typeof Mounts.defaults>, place: string) =>
  mounts.find((mount) => mount.destination === place)

describe("Mounts", () => {
  it("every container has the kernel's filesystems, guarded and read-only where they show the host", () => {
    const mounts = Mounts.defaults(context)
    assert.deepStrictEqual(places(mounts), [
      "/proc",
      "/dev",
      "/dev/pts",
      "/dev/shm",
      "/dev/mqueue",
      "/sys",
      "/sys/fs/cgroup"
    ])
    for (const place of ["/sys", "/sys/fs/cgroup"])
      assert.includeMembers([...(at(mounts, place)?.options ?? [])], ["ro", "nosuid", "noexec", "nodev"])
    for (const mount of mounts) assert.include(mount.options ?? [], "nosuid")
  })

  it("a privileged container may write to them", () => {
    const mounts = Mounts.defaults({ ...context, privileged: true })
    for (const mount of mounts) assert.notInclude(mount.options ?? [], "ro", mount.destination)
  })

  it("a user namespace without a network of its own gets the host's /sys, read-only", () => {
    const gidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }]
    assert.strictEqual(at(Mounts.defaults({ ...context, gidMappings }), "/sys")?.type, "sysfs")
    assert.strictEqual(at(Mounts.defaults({ ...context, ownNetwork: false }), "/sys")?.type, "sysfs")
    const bound = at(Mounts.defaults({ ...context, gidMappings, ownNetwork: false }), "/sys")
    assert.strictEqual(bound?.source, "/sys")
    assert.includeMembers([...(bound?.options ?? [])], ["rbind", "ro", "nosuid", "noexec", "nodev"])
  })

  it("terminals belong to the tty group where that exists", () => {
    const few = [{ containerID: 0, hostID: 100_000, size: 5 }]
    assert.include(at(Mounts.defaults(context), "/dev/pts")?.options ?? [], "gid=5")
    assert.notInclude(at(Mounts.defaults({ ...context, gidMappings: few }), "/dev/pts")?.options ?? [], "gid=5")
    assert.include(
      at(Mounts.defaults({ ...context, gidMappings: [{ ...few[0], size: 6 }] }), "/dev/pts")?.options ?? [],
      "gid=5"
    )
  })

  it("a mount of the user takes the place of a default one, before its children", () => {
    const mounts = good(
      Mounts.make([{ destination: "/dev/", type: "bind", source: "/dev", options: ["rbind"] }], context)
    )
    assert.isBelow(places(mounts).indexOf("/dev"), places(mounts).indexOf("/dev/pts"))
    assert.strictEqual(at(mounts, "/dev")?.source, "/dev")
    assert.strictEqual(mounts.length, Mounts.defaults(context).length)
  })

  it("refuses two mounts at one place and mounts that check refuses", () => {
    const tmpfs = { destination: "/a", type: "tmpfs" }
    assert.strictEqual(
      bad(Mounts.make([tmpfs, { ...tmpfs, destination: "/a/" }], context)),
      `mount: two mounts at "/a"`
    )
    assert.include(bad(Mounts.make([{ destination: "a" }], context)), "absolute path")
  })

  it("the root propagates what a mount asks for", () => {
    const bind = (option: string) => [{ destination: "/a", source: "/a", options: ["rbind", option] }]
    assert.strictEqual(Mounts.rootPropagation(bind("rshared")), "shared")
    assert.strictEqual(Mounts.rootPropagation([...bind("slave"), ...bind("shared")]), "shared")
    assert.strictEqual(Mounts.rootPropagation(bind("rslave")), "rslave")
    assert.isUndefined(Mounts.rootPropagation(bind("rprivate")))
  })

  const Part = Schema.Literals(["a", "b", "dev", "sys", "fs", "cgroup"])
  const Place = Schema.Array(Part).check(Schema.isMinLength(1), Schema.isMaxLength(3))
  it.prop("no mount hides one before it", { paths: Schema.Array(Place).check(Schema.isMaxLength(6)) }, ({ paths }) => {
    const unique = [...new Set(paths.map((path) => `/${path.join("/")}`))]
    const order = places(
      good(
        Mounts.make(
          unique.map((destination) => ({ destination, type: "tmpfs" })),
          context
        )
      )
    )
    assert.includeMembers(order, unique)
    assert.strictEqual(new Set(order).size, order.length)
    for (const [index, place] of order.entries()) {
      assert.isFalse(
        order.slice(0, index).some((earlier) => earlier.startsWith(`${place}/`)),
        `${place} hides one of ${order.join(" ")}`
      )
    }
  })
})
