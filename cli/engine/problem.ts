// cli/engine/problem.ts — valibot's first issue as one sentence and one place, written as OpenAI writes places: messages[0].content.
import type { BaseIssue } from 'valibot'

export type Problem = { readonly message: string; readonly param: string | null }

/** The first of at least one issue. `param` is null when the body as a whole is wrong. */
export function firstProblem(issues: readonly [BaseIssue<unknown>, ...BaseIssue<unknown>[]]): Problem {
  const [issue] = issues
  const param = placeOf(issue)
  if (param === '') return { message: 'The body must be a JSON object', param: null }
  if (issue.kind === 'schema' && issue.type === 'strict_object') return { message: `Unknown field '${param}'`, param }
  if (issue.kind === 'schema' && issue.received === 'undefined') return { message: `Missing field '${param}'`, param }
  return { message: `Invalid '${param}': ${issue.message}`, param }
}

function placeOf(issue: BaseIssue<unknown>): string {
  return (issue.path ?? []).reduce((place, step) => {
    const key: unknown = step.key
    if (typeof key === 'number') return `${place}[${key}]`
    return place === '' ? String(key) : `${place}.${String(key)}`
  }, '')
}
