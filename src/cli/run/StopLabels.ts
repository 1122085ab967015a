/** Labels in which a container keeps how it wants to be stopped: `run` and `create` write them, `stop` reads them. */
export const stopLabels = { signal: "berth.stop-signal", timeout: "berth.stop-timeout" } as const
