/**
 * Lifecycles over containerd's API, with the same runtime and the same specification, standard streams to /dev/null.
 */
import { join } from "node:path"
import type { Settings } from "../Protocol.ts"
import { stepNames } from "../Protocol.ts"
import { specOf } from "./Bundle.ts"
import * as Grpc from "./Grpc.ts"
import { encode, numberAt } from "./Protobuf.ts"
import type { Message } from "./Protobuf.ts"
import type { Target } from "./Target.ts"

const containers = "containerd.services.containers.v1.Containers"
const tasks = "containerd.services.tasks.v1.Tasks"
const sigkill = 9

/** `google.protobuf.Any`; containerd's type names have no host before them. */
const any = (type: string, value: Uint8Array): Message => ({ 1: type, 2: value })

export const open = async ({ binary, socket, spec, volatile }: Settings): Promise<Target> => {
  const grpc = Grpc.open(socket, { "containerd-namespace": "bench" })
  // BinaryName and Root of `containerd.runc.v1.Options`.
  const options = any("containerd.runc.v1.Options", encode({ 6: binary, 7: join(volatile, "runtime") }))
  const runtime: Message = { 1: "io.containerd.runc.v2", 2: options }
  const call = async (method: string, request: Message) => {
    await grpc.call(method, request)
  }
  return {
    counted: stepNames,
    record: (id, args) => {
      const value = any("types.containerd.io/opencontainers/runtime-spec/1/Spec", Buffer.from(specOf(spec, id, args)))
      return call(`${containers}/Create`, { 1: { 1: id, 4: runtime, 5: value } })
    },
    create: (id) => call(`${tasks}/Create`, { 1: id }),
    start: (id) => call(`${tasks}/Start`, { 1: id }),
    wait: async (id) => numberAt(await grpc.call(`${tasks}/Wait`, { 1: id }), 1),
    kill: (id) => call(`${tasks}/Kill`, { 1: id, 3: sigkill, 4: true }),
    delete: (id) => call(`${tasks}/Delete`, { 1: id }),
    unrecord: (id) => call(`${containers}/Delete`, { 1: id }),
    close: grpc.close
  }
}
