/** HTTP by hand over a unix socket: what curl or another language would do. */
import { Effect } from "effect"
import type { ClientRequest, IncomingMessage } from "node:http"
import { Agent, request as httpRequest } from "node:http"

export interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}

export interface Ask {
  readonly method?: string
  readonly path: string
  readonly body?: string | Buffer
  readonly headers?: Readonly<Record<string, string>>
  /** Without a length given ahead. */
  readonly chunked?: boolean
}

/** No connection is used twice. */
const agent = new Agent({ keepAlive: false, maxSockets: Infinity })

const begin = (socketPath: string, { body, chunked, headers = {}, method, path }: Ask): ClientRequest => {
  const length = body === undefined || chunked === true ? {} : { "content-length": String(Buffer.byteLength(body)) }
  const request = httpRequest({
    socketPath,
    path,
    agent,
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers: { ...headers, ...length }
  })
  if (chunked === true && body !== undefined)
    for (let at = 0; at < body.length; at += 65_536) request.write(body.slice(at, at + 65_536))
  return chunked === true || body === undefined ? request.end() : request.end(body)
}

/** The whole answer. A connection that breaks is a defect. */
export const ask = (socketPath: string, what: Ask): Effect.Effect<Answer> =>
  Effect.callback((resume) => {
    const request = begin(socketPath, what)
    request.on("error", (error) => resume(Effect.die(error)))
    request.on("response", (response) => {
      let body = ""
      response.setEncoding("utf8").on("data", (text: string) => (body += text))
      response.on("end", () =>
        resume(Effect.succeed({ status: response.statusCode ?? 0, type: response.headers["content-type"] ?? "", body }))
      )
    })
    return Effect.sync(() => request.destroy())
  })

/** A request whose answer goes on: `first` completes with its first piece, `leave` breaks the connection off. */
export const listen = (socketPath: string, what: Ask) =>
  Effect.callback<{ readonly first: string; readonly leave: Effect.Effect<void> }>((resume) => {
    const request = begin(socketPath, what)
    const leave = Effect.sync(() => void request.destroy())
    request.on("error", () => {})
    request.on("response", (response: IncomingMessage) => {
      response.on("error", () => {})
      response.once("data", (bytes: Buffer) => resume(Effect.succeed({ first: bytes.toString(), leave })))
    })
  })
