/** The suite of signals on real containers. */
import { signalSuite } from "../suites/signals.ts"
import { realPlaces } from "../support/places.ts"

for (const place of realPlaces()) signalSuite(place)
