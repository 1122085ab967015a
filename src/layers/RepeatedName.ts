/** Finds a name that an object of a JSON text has twice. Parsers keep the last of the two and say nothing. The text must be JSON already. */

const token = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g

/** The first such name as it is written; `null` where there is none. */
export const find = (text: string): string | null => {
  const open: Array<Set<string>> = []
  let last = ""
  for (const [found] of text.matchAll(token)) {
    if (found === "{" || found === "[") open.push(new Set())
    else if (found === "}" || found === "]") open.pop()
    else if (found !== ":") last = found.slice(1, -1)
    else {
      const names = open.at(-1)
      if (names?.has(last) === true) return last
      names?.add(last)
    }
  }
  return null
}
