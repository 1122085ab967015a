/** Updates of real containers: runc and crun, embedded and through a daemon with its shim. */
import { updateSuite } from "../suites/update.ts"
import { realPlaces } from "../support/places.ts"

for (const place of realPlaces()) updateSuite(place)
