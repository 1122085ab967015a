/** A file system of a test's own, that can be full. */
import { Effect, Exit } from "effect"
import { execFileSync } from "node:child_process"
import { temporaryFolder } from "./folder.ts"
import { leftOut } from "./leftOut.ts"

/** The folder where it is, unmounted with the scope. `size` as `mount` takes it. */
export const tmpfs = (size: string) =>
  Effect.flatMap(temporaryFolder, (folder) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "none", folder], { stdio: "ignore" })
        return folder
      }),
      () => Effect.sync(() => execFileSync("umount", [folder]))
    )
  )

/** Whether there can be one here. Says that there cannot. */
export const canMount = Exit.isSuccess(Effect.runSyncExit(Effect.scoped(tmpfs("64k"))))
if (!canMount) leftOut("tests of a full disk", "no tmpfs can be mounted here; root can, if the machine allows it")
