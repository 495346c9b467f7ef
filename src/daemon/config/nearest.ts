/**
 * The candidate that a mistyped word most likely means: smallest edit distance (insert, delete, replace, swap of
 * neighbours), at most a third of the word. Undefined when none is near.
 */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const plain = normal(word).slice(0, 64)
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(plain.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = editDistance(plain, normal(candidate))
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

// "keyFile", "key-file" and "key_file" are the same word to whoever types it.
const normal = (word: string): string => word.toLowerCase().replace(/[_-]/g, '')

function editDistance(a: string, b: string): number {
  let older: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      let least = Math.min(previous[j]! + 1, row[j - 1]! + 1, replace)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, older[j - 2]! + 1)
      row.push(least)
    }
    older = previous
    previous = row
  }
  return previous[b.length]!
}
