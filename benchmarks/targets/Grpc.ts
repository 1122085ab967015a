/**
 * Unary gRPC calls over HTTP/2 on a unix socket. No deadlines, no retries, no compression: it measures, and its peer is
 * on the same machine.
 */
import { connect } from "node:http2"
import type { IncomingHttpHeaders } from "node:http2"
import { connect as connectSocket } from "node:net"
import type { Fields, Message } from "./Protobuf.ts"
import { decode, encode } from "./Protobuf.ts"

export interface Grpc {
  /** `method` is `package.Service/Method`. */
  readonly call: (method: string, request: Message) => Promise<Fields>
  readonly close: () => Promise<void>
}

/** Flag byte and length of a message, before it. */
const prefixBytes = 5

const frame = (message: Message): Buffer => {
  const body = encode(message)
  const prefix = Buffer.alloc(prefixBytes)
  prefix.writeUInt32BE(body.length, 1)
  return Buffer.concat([prefix, body])
}

/** The status is in the trailers, or in the headers of an answer that has nothing else. */
const failureOf = (headers: IncomingHttpHeaders): string | null => {
  const status = headers["grpc-status"]
  if (status === "0") return null
  return `${decodeURIComponent(String(headers["grpc-message"] ?? "no answer"))} (status ${String(status)})`
}

/** `headers` go with every call. */
export const open = (path: string, headers: Readonly<Record<string, string>>): Grpc => {
  const session = connect("http://localhost", { createConnection: () => connectSocket({ path }) })
  let broken: Error | null = null
  session.on("error", (error) => {
    broken = error
  })

  const call: Grpc["call"] = (method, request) =>
    new Promise((resolve, reject) => {
      if (broken !== null) return reject(broken)
      const stream = session.request({
        ":method": "POST",
        ":path": `/${method}`,
        "content-type": "application/grpc",
        te: "trailers",
        ...headers
      })
      const chunks: Array<Uint8Array> = []
      let ending: IncomingHttpHeaders = {}
      const take = (received: IncomingHttpHeaders) => {
        if (received["grpc-status"] !== undefined) ending = received
      }
      stream.on("response", take)
      stream.on("trailers", take)
      stream.on("data", (chunk: Uint8Array) => chunks.push(chunk))
      stream.on("error", reject)
      stream.on("close", () => {
        const failure = failureOf(ending)
        if (failure === null) resolve(decode(Buffer.concat(chunks).subarray(prefixBytes)))
        else reject(new Error(`${method}: ${failure}`))
      })
      stream.end(frame(request))
    })

  const close = () => new Promise<void>((resolve) => session.close(() => resolve()))
  return { call, close }
}
