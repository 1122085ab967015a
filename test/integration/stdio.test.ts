/** Standard streams on real containers: runc and crun, embedded and through a daemon with its shim. */
import { stdioSuite } from "../suites/stdio.ts"
import { realPlaces } from "../support/places.ts"

for (const place of realPlaces()) stdioSuite(place)
