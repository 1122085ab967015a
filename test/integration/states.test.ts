/** Every operation in every state, on real containers. */
import { stateSuite } from "../suites/states.ts"
import { realPlaces } from "../support/places.ts"

for (const place of realPlaces(["daemon"])) stateSuite(place)
