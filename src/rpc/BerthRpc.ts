/** Everything that a client may call, under the session middleware. Method names are `Service.Method`. */
import { ContainersRpc } from "./ContainersRpc.ts"
import { EventsRpc } from "./EventsRpc.ts"
import { Session } from "./Session.ts"
import { SystemRpc } from "./SystemRpc.ts"
import { TasksRpc } from "./TasksRpc.ts"

export const BerthRpc = ContainersRpc.merge(TasksRpc, EventsRpc, SystemRpc).middleware(Session)
