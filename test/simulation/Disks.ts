/** The stores of a simulation. Whatever a store has taken is in the ledger before anybody takes another turn. */
import { Context, Effect, Exit, Layer, Scheduler, Scope } from "effect"
import { rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as SqliteStore from "../../src/layers/store/SqliteStore.ts"
import * as MemoryStore from "../../src/services/MemoryStore.ts"
import { MetadataStore } from "../../src/services/MetadataStore.ts"
import type { StoreFailure } from "../../src/services/MetadataStore.ts"
import type { Disk, Store } from "./DaemonLives.ts"
import type { Domain, Kernel } from "./Kernel.ts"
import type { Ledger } from "./Ledger.ts"

const build = (layer: Layer.Layer<MetadataStore, StoreFailure>, scope: Scope.Scope) =>
  Effect.map(Effect.provideService(Layer.build(Layer.fresh(layer)), Scope.Scope, scope), Context.get(MetadataStore))

const entered = (inner: Store, ledger: Ledger): Store => ({
  ...inner,
  commit: (changes, fresh) =>
    Effect.provideService(
      Effect.tap(inner.commit(changes, fresh), (events) => Effect.sync(() => ledger.record(changes, events))),
      Scheduler.PreventSchedulerYield,
      true
    )
})

/** In memory; it outlives the daemons. */
export const memory = (ledger: Ledger): Disk => {
  const scope = Scope.makeUnsafe()
  const store = Effect.runSync(build(MemoryStore.layer, scope))
  return {
    open: () => Effect.succeed(entered(store, ledger)),
    close: (_, then) => then(),
    remove: () => {}
  }
}

/** A SQLite file, opened by each daemon anew; what is asked of it runs as it does behind the kernel's file system, and ends when the daemon is dead. */
export const sqlite = (kernel: Kernel, ledger: Ledger): Disk => {
  const filename = join(tmpdir(), `berth-simulation-${process.pid}-${Math.random().toString(36).slice(2)}.sqlite`)
  const open = new Map<Domain, { readonly store: Domain; readonly scope: Scope.Closeable }>()
  return {
    open: (daemon) => {
      const store = kernel.domain(`store of ${daemon.name}`)
      const scope = Scope.makeUnsafe()
      open.set(daemon, { store, scope })
      const there = <A, E>(effect: Effect.Effect<A, E>) => kernel.call(daemon, store, effect)
      return Effect.map(Effect.orDie(there(build(SqliteStore.layer({ filename }), scope))), (inner) => {
        const own = entered(inner, ledger)
        return {
          commit: (changes, fresh) => there(own.commit(changes, fresh)),
          container: (namespace, id) => there(own.container(namespace, id)),
          containers: (namespace) => there(own.containers(namespace)),
          task: (namespace, id) => there(own.task(namespace, id)),
          tasks: there(own.tasks),
          events: (after, limit) => there(own.events(after, limit)),
          consumers: (namespace) => there(own.consumers(namespace)),
          bounds: there(own.bounds)
        }
      })
    },
    close: (daemon, then) => {
      const own = open.get(daemon)
      open.delete(daemon)
      if (own === undefined) return then()
      kernel.fork(own.store, Scope.close(own.scope, Exit.void)).addObserver(() => {
        kernel.kill(own.store)
        then()
      })
    },
    remove: () => {
      for (const suffix of ["", "-wal", "-shm"]) rmSync(`${filename}${suffix}`, { force: true })
    }
  }
}
