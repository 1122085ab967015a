/**
 * A mailbox with two doors. Commands come from outside and are counted: beyond the capacity they are refused, not queued. Reports come from the actor's own
 * operations and its host, of which there are only as many as it started, and always fit.
 */
import { Deferred, Effect, Queue } from "effect"
import { NotFound, ResourceExhausted } from "../schema/Errors.ts"
import { countRefused } from "../services/Metrics.ts"

export interface Mailbox<Message> {
  /** Queues a command; ResourceExhausted when the mailbox is full, NotFound when the actor has ended. */
  readonly ask: <A, E>(
    message: (reply: Deferred.Deferred<A, E>) => Message
  ) => Effect.Effect<A, E | ResourceExhausted | NotFound>
  /** False where it is closed: nobody will read it. */
  readonly tell: (message: Message) => Effect.Effect<boolean>
  readonly take: Effect.Effect<Message>
  /** Takes no more; what is still queued is handed back, so that its callers can be told. */
  readonly close: Effect.Effect<ReadonlyArray<Message>>
}

interface Entry<Message> {
  readonly message: Message
  readonly counted: boolean
}

export const make = Effect.fnUntraced(function* <Message>(id: string, capacity: number) {
  const queue = yield* Queue.unbounded<Entry<Message>>()
  let waiting = 0
  const gone = () => new NotFound({ kind: "task", id })

  const mailbox: Mailbox<Message> = {
    ask: Effect.fnUntraced(function* <A, E>(message: (reply: Deferred.Deferred<A, E>) => Message) {
      if (waiting >= capacity) {
        yield* countRefused
        return yield* new ResourceExhausted({ resource: `mailbox of task "${id}"`, limit: capacity })
      }
      const reply = yield* Deferred.make<A, E>()
      if (!Queue.offerUnsafe(queue, { message: message(reply), counted: true })) return yield* gone()
      waiting++
      return yield* Deferred.await(reply)
    }),
    tell: (message) => Queue.offer(queue, { message, counted: false }),
    take: Effect.map(Queue.take(queue), ({ counted, message }) => {
      if (counted) waiting--
      return message
    }),
    close: Effect.gen(function* () {
      const left = yield* Queue.clear(queue)
      yield* Queue.shutdown(queue)
      waiting = 0
      return left.map(({ message }) => message)
    })
  }
  return mailbox
})
