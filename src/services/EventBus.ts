/**
 * The one way to change state: commits changes with their events, then tells every subscriber. A subscriber is a cursor over the log: recent events come
 * from a ring in memory, older ones from the store, so that a slow reader costs no memory, never delays a writer and never misses an event.
 */
import { Context } from "effect"
import type { Effect, Stream } from "effect"
import type { FailedPrecondition } from "../schema/Errors.ts"
import type { Event, NewEvent } from "../schema/Events.ts"
import type { Seq } from "../schema/Ids.ts"
import type { Change, CommitFailure, StoreFailure } from "./MetadataStore.ts"

export class EventBus extends Context.Service<
  EventBus,
  {
    /** Changes and events in one transaction, then fan-out, in the order of `seq`. Cannot be interrupted half-way. */
    readonly commit: (
      changes: ReadonlyArray<Change>,
      events: ReadonlyArray<NewEvent>
    ) => Effect.Effect<ReadonlyArray<Event>, CommitFailure>
    /**
     * Every event after `after`, each once, in the order of `seq`; without `follow` it ends at what the log held when the stream began to run. From 0 it
     * starts with the oldest event that is left; from anywhere else it fails where events behind that are dropped, also when a slow reader is overtaken: none is
     * left out unsaid. An `after` that is still to come is waited for. A subscriber may be slow, or stop reading for hours.
     */
    readonly subscribe: (options: {
      readonly after: Seq
      readonly follow: boolean
    }) => Stream.Stream<Event, StoreFailure | FailedPrecondition>
    /** The newest `seq`, 0 before the first event. */
    readonly last: Effect.Effect<Seq, StoreFailure>
  }
>()("berth/services/EventBus") {}
