import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { all, apply, defaults, fromMask, normalise } from "../../src/spec/Capabilities.ts"
import { bad, good } from "./support.ts"

const change = { base: defaults, add: [], drop: [], held: undefined }
const Names = Schema.Array(Schema.Literals(all))

describe("Capabilities", () => {
  it("a container starts from fourteen", () => {
    assert.strictEqual(defaults.length, 14)
    assert.strictEqual(all.length, 41)
    assert.deepStrictEqual(
      good(apply(change)),
      all.filter((name) => defaults.includes(name))
    )
    for (const name of ["CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_MODULE"])
      assert.notInclude(defaults, name)
  })

  it("names are read in any form and no unknown one passes", () => {
    assert.deepStrictEqual(good(normalise("capAdd", ["net_admin", "CAP_KILL", "Cap_Kill", "all"])), [
      "CAP_NET_ADMIN",
      "CAP_KILL",
      "ALL"
    ])
    assert.strictEqual(bad(normalise("capDrop", ["KILL", "KILLER"])), `capDrop: unknown capability "KILLER"`)
  })

  it("ALL empties or fills, with exceptions", () => {
    assert.deepStrictEqual(good(apply({ ...change, drop: ["all"] })), [])
    assert.deepStrictEqual(good(apply({ ...change, drop: ["ALL"], add: ["kill", "chown"] })), ["CAP_CHOWN", "CAP_KILL"])
    assert.deepStrictEqual(good(apply({ ...change, add: ["ALL"] })), all)
    assert.deepStrictEqual(
      good(apply({ ...change, add: ["ALL"], drop: ["sys_admin"] })),
      all.filter((name) => name !== "CAP_SYS_ADMIN")
    )
    assert.strictEqual(
      bad(apply({ ...change, add: ["KILL"], drop: ["kill"] })),
      "capAdd: CAP_KILL is both added and dropped"
    )
  })

  it("nobody passes on what the runtime lacks", () => {
    const held = all.filter((name) => name !== "CAP_SYS_RESOURCE" && name !== "CAP_MKNOD")
    assert.deepStrictEqual(good(apply({ ...change, add: ["ALL"], held })), held)
    assert.notInclude(good(apply({ ...change, held })), "CAP_MKNOD")
    assert.strictEqual(
      bad(apply({ ...change, add: ["sys_resource"], held })),
      "capAdd: CAP_SYS_RESOURCE is not held by the runtime on this host"
    )
  })

  it("masks of the kernel are read bit by bit", () => {
    assert.deepStrictEqual(
      fromMask("00000000a80425fb"),
      all.filter((name) => defaults.includes(name))
    )
    assert.deepStrictEqual(fromMask("000001ffffffffff"), all)
    assert.deepStrictEqual(fromMask("0"), [])
    assert.deepStrictEqual(fromMask("xyz"), [])
  })

  it.prop("a change keeps to its lists", { add: Names, drop: Names, held: Names }, ({ add, drop, held }) => {
    const result = apply({ base: defaults, add, drop, held })
    if (Result.isFailure(result)) {
      assert.isTrue(add.some((name) => drop.includes(name) || !held.includes(name)))
      return
    }
    for (const name of all) {
      const expected = add.includes(name) || (defaults.includes(name) && held.includes(name) && !drop.includes(name))
      assert.strictEqual(result.success.includes(name), expected, name)
    }
  })
})
