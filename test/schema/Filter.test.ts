import { assert, describe, it } from "@effect/vitest"
import { DateTime, Result } from "effect"
import type { Container } from "../../src/schema/Container.ts"
import type { Event } from "../../src/schema/Events.ts"
import { containerFields, eventFields, matches, parse, parseAll, taskFields } from "../../src/schema/Filter.ts"
import type { Fields } from "../../src/schema/Filter.ts"
import { ContainerId, Namespace, RuntimeName, Seq } from "../../src/schema/Ids.ts"
import type { Task } from "../../src/schema/Task.ts"

const holds = (text: string, fields: Fields) => Result.getOrThrow(parse(text)).holds(fields)
const problem = (text: string) => {
  const parsed = parse(text)
  return Result.isFailure(parsed) ? parsed.failure.problem : assert.fail(`accepted: ${text}`)
}

/** What a filter sees of an object with a name, something else, and labels. */
const fieldsOf =
  (name: string, other: string | undefined, labels: { readonly [key: string]: string }): Fields =>
  ([head, ...rest]) =>
    head === "name" ? name : head === "other" ? other : head === "labels" ? labels[rest.join(".")] : undefined

const corpus = [
  fieldsOf("foo", undefined, { foo: "true" }),
  fieldsOf("bar", undefined, {}),
  fieldsOf("foo", undefined, { foo: "present", "more complex label": "present" }),
  fieldsOf("bar", undefined, { bar: "true" }),
  fieldsOf("fooer", undefined, { 'more complex label with \\ and "': "present" }),
  fieldsOf("fooer", undefined, { 'more complex label with \\ and ".post': "present" }),
  fieldsOf("baz", "too complex, yo", {}),
  fieldsOf("bazo", "abc", {}),
  fieldsOf("compound", undefined, { foo: "omg_asdf.asdf-qwer" }),
  fieldsOf("garbage", 'b"/', {})
]
const everything = corpus.map((_, index) => index)

describe("containerd's grammar", () => {
  it.each<[string, ReadonlyArray<number>]>([
    ["", everything],
    ["name", everything],
    ["labels.foo", [0, 2, 8]],
    ["labels.foo,name", [0, 2, 8]],
    ["labels.foo==true", [0]],
    ["labels.foo==omg_asdf.asdf-qwer", [8]],
    ["name==bar", [1, 3]],
    ["name!=bar", [0, 2, 4, 5, 6, 7, 8, 9]],
    ["name==bar,labels.bar", [3]],
    ["name==bar,labels.bar==wrong", []],
    ['other=="too complex, yo"', [6]],
    ["other~=[abc]+,name!=foo", [6, 7, 9]],
    ["other~=/[abc]+/,name!=foo", [6, 7, 9]],
    ["other~=/[abc]{1,2}/,name!=foo", [6, 7, 9]],
    ['other~=/[abc]{0,1}"\\//,name!=foo', [9]],
    ["other~=|^a.c$|", [7]],
    ['name==foo,labels."more complex label"', [2]],
    ['labels."more complex label with \\\\ and \\""==present', [4]],
    ['labels."more complex label with \\\\ and \\"".post==present', [5]],
    ['name=="\\x66\\157\\u006f"', [0, 2]],
    [" name == bar , labels.bar ", [3]]
  ])("%s", (text, expected) => {
    const filter = Result.getOrThrow(parse(text))
    assert.deepStrictEqual(
      everything.filter((index) => corpus[index] !== undefined && filter.holds(corpus[index])),
      expected
    )
  })

  it.each<[string, string, RegExp]>([
    ["labels.|foo|==omg_asdf.asdf-qwer", "[labels. >|||< foo|==omg_asdf.asdf-qwer]", /double quotes/],
    ["name==foo,", "[name==foo,]", /expected a field/],
    ["labels.", "[labels.]", /expected a field/],
    ["image~=,id?=?fbaq", "[image~= >|,|< id?=?fbaq]", /expected a value/],
    ["labels.ns/key==value", "[labels.ns >|/|< key==value]", /close this quote/],
    ["labels.key==/value", "[labels.key== >|/|< value]", /close this quote/],
    ['labels.?"x"==y', '[labels. >|?|< "x"==y]', /expected a field/],
    ["name==/a/", "[name== >|/|< a/]", /double quotes/],
    ["name===a", "[name >|=|< ==a]", /expected "=="/],
    ["name<a", "[name >|<|< a]", /expected "=="/],
    ["name==", "[name==]", /expected a value/],
    ["name==a b", "[name==a  >|b|< ]", /expected ","/],
    ['name=="a\nb"', '[name== >|"|< a\nb"]', /close this quote/],
    ['labels."\\g"', '[labels. >|"|< \\g"]', /escape/],
    ['labels."\\U00110000"', '[labels. >|"|< \\U00110000"]', /escape/],
    ["labels.💥", "[labels. >|💥|< ]", /expected a field/]
  ])("refuses %s", (text, where, why) => {
    assert.strictEqual(problem(text).slice(0, where.length + 2), `${where}: `)
    assert.match(problem(text).slice(where.length), why)
  })

  it("takes an absent field for the empty text in != and ~=, and equal to nothing", () => {
    const bare = fieldsOf("x", undefined, {})
    assert.isTrue(holds("other!=y", bare))
    assert.isFalse(holds('other!=""', bare))
    assert.isFalse(holds('other==""', bare))
    assert.isTrue(holds("other~=^$", bare))
    assert.isFalse(holds("other", bare))
  })
})

describe("patterns", () => {
  const other = (value: string) => fieldsOf("x", value, {})
  it("that are none, or too long, match nothing", () => {
    for (const pattern of ["(", "a**", "(?=a)", "(a)\\\\1", "[", "a".repeat(257), "(a{100}){100}"]) {
      assert.isFalse(holds(`other~="${pattern}"`, other("aaaa")), pattern)
    }
    assert.isTrue(holds(`other~=${"a".repeat(256)}`, other("a".repeat(300))))
  })
  it("are RE2's", () => {
    for (const [pattern, yes, no] of [
      ["|(?i)^foo$|", "FOO", "fool"],
      ["|\\bfoo\\b|", "a foo b", "afoob"],
      ["|^[[:alpha:]_]+$|", "a_Z", "a1"],
      ["|^\\pL+$|", "éλ", "1"],
      ["|\\p{Greek}|", "λ", "l"],
      ["/^(?P<n>a|bc){2,3}$/", "abca", "bc"],
      ["|^\\d+\\.\\d*$|", "12.", "12x"],
      ["|\\Aa.*z\\z|", "abcz", "a\nz"],
      ["|(?s)\\Aa.*z\\z|", "a\nz", "b"],
      ["|^💥{2}$|", "💥💥", "💥"]
    ] as const) {
      assert.isTrue(holds(`other~=${pattern}`, other(yes)), `${pattern} ${yes}`)
      assert.isFalse(holds(`other~=${pattern}`, other(no)), `${pattern} ${no}`)
    }
  })
  // With JavaScript's own engine this test would not end.
  it("take time in proportion to the text", () => {
    assert.isFalse(holds("other~=/^(a|a|aa)+$/", other(`${"a".repeat(4000)}b`)))
    assert.isFalse(holds(`other~=/${"(.*)".repeat(20)}x/`, other("a".repeat(4000))))
  })
})

describe("the friendlier grammar", () => {
  const fields: Fields = fieldsOf("web", "/tasks/exit", { "containerd.io/gc-root": "a=b", env: "prod", 'a "b"': "c,d" })
  it.each<[string, boolean]>([
    ["name=web", true],
    ["name=db", false],
    ["other=/tasks/exit", true],
    ["label=env", true],
    ["label=nope", false],
    ["label=env=prod", true],
    ["label=env=test", false],
    ["label=containerd.io/gc-root", true],
    ["label=containerd.io/gc-root=a=b", true],
    ["name=web,label=env=prod,labels.env!=test", true],
    ["name=web,label=env=test", false],
    ['label="a \\"b\\""="c,d"', true],
    ["labels.env=prod", true]
  ])("%s", (text, expected) => assert.strictEqual(holds(text, fields), expected))

  it("refuses a missing value and an operator that is none", () => {
    assert.match(problem("name="), /^\[name=\]: expected a value/)
    assert.match(problem("label=,name"), /^\[label= >\|,\|< name\]: expected a value/)
    assert.match(problem("label=a=,name"), /^\[label=a= >\|,\|< name\]: expected a value/)
    assert.match(problem("name=~web"), /^\[name >\|=\|< ~web\]: expected "=="/)
  })
})

it("matches where one filter of several does, and where there is none", () => {
  const filters = Result.getOrThrow(parseAll(["name==db", "other==x"]))
  assert.isTrue(matches(filters, fieldsOf("db", undefined, {})))
  assert.isTrue(matches(filters, fieldsOf("web", "x", {})))
  assert.isFalse(matches(filters, fieldsOf("web", "y", {})))
  assert.isTrue(matches([], fieldsOf("web", "y", {})))
  assert.isTrue(Result.isFailure(parseAll(["name", "name=="])))
})

describe("fields", () => {
  const at = DateTime.makeUnsafe("2026-01-02T03:04:05.006Z")
  const namespace = Namespace.make("prod")
  const id = ContainerId.make("web")
  const container: Container = {
    namespace,
    id,
    labels: { env: "prod", "a.b": "c", fooBar: "x" },
    runtime: { name: RuntimeName.make("crun"), options: {} },
    spec: { ociVersion: "1.2.0" },
    snapshotKey: "web-rw",
    snapshotter: null,
    createdAt: at,
    updatedAt: at,
    extensions: {}
  }
  const task: Task = {
    namespace,
    id,
    containerId: id,
    runtime: RuntimeName.make("crun"),
    status: "stopped",
    pid: 12,
    exitStatus: 137,
    exitedAt: at,
    oomKilled: true,
    exitSource: "reaped",
    stdin: null,
    stdout: null,
    stderr: null,
    terminal: false,
    createdAt: at,
    startedAt: at,
    restartCount: 0,
    oomCount: 1
  }
  const exit: Event = {
    seq: Seq.make(7),
    time: at,
    namespace,
    topic: "/tasks/exit",
    event: {
      containerId: id,
      execId: null,
      id,
      pid: 12,
      exitStatus: 137,
      exitedAt: at,
      oomKilled: true,
      source: "reaped",
      oomCount: 1,
      memoryPeak: 1024
    }
  }
  const created: Event = {
    seq: Seq.make(1),
    time: at,
    namespace,
    topic: "/containers/create",
    event: { id, runtime: container.runtime, labels: container.labels }
  }
  const check = (fields: Fields, yes: ReadonlyArray<string>, no: ReadonlyArray<string>) => {
    for (const text of yes) assert.isTrue(holds(text, fields), text)
    for (const text of no) assert.isFalse(holds(text, fields), text)
  }

  it("of a container", () => {
    const fields = containerFields(container)
    check(
      fields,
      [
        "id=web",
        "namespace=prod",
        "label=env=prod",
        "labels.a.b==c",
        'labels."a.b"==c',
        "runtime=crun",
        "runtime.name==crun"
      ],
      [
        "id=db",
        "labels.foo_bar",
        "labels.constructor",
        "constructor",
        "snapshotter",
        "status",
        "labels",
        "id.x",
        "spec"
      ]
    )
    check(
      fields,
      ["snapshotKey==web-rw", "snapshot_key==web-rw", "created_at==2026-01-02T03:04:05.006Z"],
      ["extensions"]
    )
    check(containerFields(container, task), ["status=stopped"], ["status=running"])
  })
  it("of a task", () => {
    check(
      taskFields(task, container),
      [
        "id=web",
        "container_id=web",
        "status=stopped",
        "label=env",
        "runtime=crun",
        "exit_status=137",
        "oomKilled=true",
        "pid"
      ],
      ["status=running", "stdin", "terminal=true", "label=env=test"]
    )
    check(taskFields(task, null), ["id=web", "labels.env!=prod"], ["label=env"])
  })
  it("of an event", () => {
    check(
      eventFields(exit),
      [
        "topic=/tasks/exit",
        "topic~=^/tasks/",
        "id=web",
        "event.container_id==web",
        "event.containerId==web",
        "event.exit_status==137"
      ],
      ["topic=/tasks/start", "event.exec_id", "namespace=default", "event", "event.exited_at.epochMilliseconds"]
    )
    check(eventFields(created), ["id=web", "event.labels.env==prod", "event.runtime.name==crun"], ["event.labels.nope"])
  })
})
