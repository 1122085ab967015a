import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { check, parse } from "../../src/spec/MountOption.ts"
import { bad, good } from "./support.ts"

describe("MountOption", () => {
  it("reads bind mounts", () => {
    const plain = { destination: "/b", type: "bind", source: "/a", options: ["rbind", "rprivate"] }
    assert.deepStrictEqual(good(parse("type=bind,src=/a,dst=/b")), plain)
    assert.deepStrictEqual(good(parse("source=/a,target=/b")), plain)
    assert.deepStrictEqual(good(parse("type=bind,src=/a,destination=//b//,readonly=false")), plain)
    for (const text of ["ro", "readonly", "ro=true", "readonly=1", "rw=false"]) {
      assert.deepStrictEqual(good(parse(`src=/a,dst=/b,${text}`)).options, ["rbind", "rprivate", "ro"], text)
    }
    assert.deepStrictEqual(good(parse("src=/a,dst=/b,bind-propagation=rslave,nonrecursive,noexec")).options, [
      "bind",
      "rslave",
      "noexec"
    ])
    assert.deepStrictEqual(good(parse("src=/a,dst=/b,options=nosuid:nodev")).options, [
      "rbind",
      "rprivate",
      "nosuid",
      "nodev"
    ])
  })

  it("reads quoted fields, so that paths may hold commas, quotes and equal signs", () => {
    assert.strictEqual(good(parse(`"src=/a,b=c",dst=/b`)).source, "/a,b=c")
    assert.strictEqual(good(parse(`"src=/say ""hi""",dst=/b`)).source, `/say "hi"`)
  })

  it("reads tmpfs mounts, guarded unless said otherwise", () => {
    assert.deepStrictEqual(good(parse("type=tmpfs,dst=/t")), {
      destination: "/t",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "nodev", "noexec"]
    })
    assert.deepStrictEqual(good(parse("type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=1777,exec,ro")).options, [
      "nosuid",
      "nodev",
      "size=67108864",
      "mode=1777",
      "ro",
      "exec"
    ])
  })

  it("passes other types on", () => {
    assert.deepStrictEqual(good(parse("type=overlay,src=overlay,dst=/o,options=lowerdir=/l")), {
      destination: "/o",
      type: "overlay",
      source: "overlay",
      options: ["lowerdir=/l"]
    })
  })

  it("says what is wrong", () => {
    const cases: ReadonlyArray<readonly [string, string]> = [
      ["", "dst is missing"],
      ["src=/a", "dst is missing"],
      ["dst=/b", "a bind mount needs src"],
      ["src=a,dst=/b", `source must be an absolute path, got "a"`],
      ["src=/a,dst=b", "destination must be an absolute path"],
      ["src=/a,dst=/b/../c", `destination must not contain ".."`],
      ["src=/a/../b,dst=/b", `source must not contain ".."`],
      ["src=/a,dst=/", `destination must not be "/"`],
      ["src=/a,dst=///", `destination must not be "/"`],
      ["src=/a,dst=/b,dst=/c", `"dst" is given twice`],
      ["src=/a,source=/a,dst=/c", `"source" is given twice`],
      ["src=/a,dst=/b,colour=red", `unknown key "colour"`],
      ["src=,dst=/b", `"src" needs a value`],
      ["src=/a,dst=/b,ro=maybe", "ro must be true or false"],
      ["src=/a,dst=/b,propagation=loud", "propagation must be one of private"],
      ["src=/a,dst=/b,size=1m", "size is for type=tmpfs only"],
      ["type=tmpfs,dst=/b,size=much", `size must be a size such as 64m, got "much"`],
      ["type=tmpfs,dst=/b,mode=999", "mode must be octal"],
      ["type=tmpfs,src=/a,dst=/b", "source is not for type=tmpfs"],
      ["type=proc,dst=/b,propagation=rslave", "propagation is for type=bind only"],
      [`"src=/a,dst=/b`, "misplaced quote"],
      ["src=/a\0,dst=/b", "NUL byte"]
    ]
    for (const [text, problem] of cases) {
      const found = bad(parse(text))
      assert.isTrue(found.startsWith("mount: "), found)
      assert.include(found, problem, text)
    }
  })

  it("checks mounts that came as data", () => {
    assert.deepStrictEqual(good(check({ destination: "/x/", type: "tmpfs" })), { destination: "/x", type: "tmpfs" })
    assert.include(
      bad(check({ destination: "/x", source: "rel", options: ["bind"] })),
      "source must be an absolute path"
    )
  })

  it.prop(
    "a quoted path comes out as it went in",
    { name: Schema.String.check(Schema.isPattern(/^[^/\0]+$/)) },
    ({ name }) => {
      if (name === "..") return
      const source = `/${name}`
      assert.strictEqual(good(parse(`"src=${source.replaceAll('"', '""')}",dst=/b`)).source, source)
    }
  )
})
