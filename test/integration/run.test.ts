/** Runs as one call on real containers: runc and crun, embedded and through a daemon with its shim. */
import { runSuite } from "../suites/run.ts"
import { realPlaces } from "../support/places.ts"

for (const place of realPlaces()) runSuite(place)
