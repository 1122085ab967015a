/**
 * How many pieces of a stream may be on their way to a client at once. The library sends one, and the next when the client has acknowledged it, so that a stream
 * costs a round trip for each piece in which both sides wait. It knows nothing of sockets: it counts, and says who may go on.
 */

export interface StreamWindow {
  /** Whether pieces of a stream are counted already: then all that follow have to be. */
  readonly counts: (client: number, request: string | number) => boolean
  /** A piece goes out. True where the next may follow at once, false where it has to wait for an acknowledgement. */
  readonly sent: (client: number, request: string | number) => boolean
  /** The client has taken a piece. True where somebody waits for that. */
  readonly acknowledged: (client: number, request: string | number) => boolean
  /** A stream has ended. */
  readonly ended: (client: number, request: string | number) => void
}

interface Flow {
  onTheWay: number
  waiting: boolean
}

/** `size`: pieces of each stream that a client need not have acknowledged. `connected`: the clients there are now; what goes to others goes nowhere. */
export const make = (size: number, connected: ReadonlySet<number>): StreamWindow => {
  const clients = new Map<number, Map<string | number, Flow>>()
  /** A client that goes away does not say so here: the next one that comes clears up. */
  const flowsOf = (client: number): Map<string | number, Flow> => {
    const known = clients.get(client)
    if (known !== undefined) return known
    for (const each of clients.keys()) if (!connected.has(each)) clients.delete(each)
    const flows = new Map<string | number, Flow>()
    clients.set(client, flows)
    return flows
  }
  const flowOf = (client: number, request: string | number): Flow => {
    const flows = flowsOf(client)
    const flow = flows.get(request) ?? { onTheWay: 0, waiting: false }
    flows.set(request, flow)
    return flow
  }
  return {
    counts: (client, request) => clients.get(client)?.has(request) ?? false,
    sent: (client, request) => {
      if (!connected.has(client)) return false
      const flow = flowOf(client, request)
      flow.onTheWay++
      flow.waiting = flow.onTheWay >= size
      return !flow.waiting
    },
    acknowledged: (client, request) => {
      const flow = clients.get(client)?.get(request)
      if (flow === undefined) return true
      const awaited = flow.waiting
      flow.onTheWay = Math.max(0, flow.onTheWay - 1)
      flow.waiting = false
      return awaited
    },
    ended: (client, request) => {
      const flows = clients.get(client)
      flows?.delete(request)
      if (flows?.size === 0) clients.delete(client)
    }
  }
}
