import { describe } from "@effect/vitest"
import * as MemoryTaskDirectory from "../../src/services/MemoryTaskDirectory.ts"
import { taskDirectorySuite } from "../suites/taskDirectory.ts"

describe("MemoryTaskDirectory", () => taskDirectorySuite(MemoryTaskDirectory.layer))
