// Probabilities of the binomial distribution, exact and stable for tens of thousands of trials. Pure.

/**
 * P(X <= k) of X ~ Bin(n, p), with n whole and not negative and 0 < p < 1. The tail away from the mode is summed, from its largest term on:
 * its terms only shrink, and the first is found by logarithms, so nothing overflows. The rest by symmetry.
 */
export function binomialAtMost(k: number, n: number, p: number): number {
  if (k < 0) return 0
  if (k >= n) return 1
  if (k > n * p) return 1 - binomialAtMost(n - k - 1, n, 1 - p)
  const odds = (1 - p) / p
  let term = Math.exp(logChoose(n, k) + k * Math.log(p) + (n - k) * Math.log1p(-p))
  let sum = term
  for (let i = k; i > 0 && term > sum * Number.EPSILON; i--) {
    term *= (i / (n - i + 1)) * odds
    sum += term
  }
  return Math.min(1, sum)
}

/** Logarithm of n over k: min(k, n - k) steps. */
function logChoose(n: number, k: number): number {
  const few = Math.min(k, n - k)
  let sum = 0
  for (let i = 1; i <= few; i++) sum += Math.log((n - few + i) / i)
  return sum
}
