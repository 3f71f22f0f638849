import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { slackOf } from '../../../core/notify/slack.ts'
import type { PhaseEvent, TransitionEvent } from '../../../core/webhook-events.ts'
import type { ModelName, RolloutId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import type { Verdict } from '../../../shared/wire/gate.ts'

const rollout = {
  id: 'r1' as RolloutId,
  environment: 'production',
  model: 'owner/Atlas' as ModelName,
  from: 'atlas-1' as VersionId,
  to: 'atlas-2' as VersionId,
  phase: 'aborting',
  stepIndex: 1,
  weightBp: 250,
  shadowBp: 0,
  generation: 9,
} as const
const transition = {
  generation: 9,
  atMs: 5,
  actor: 'operator:ann',
  input: 'verdict',
  from: 'baking',
  to: 'aborting',
  reason: 'no_harm: fail',
  detail: 'no_harm: fail',
} as const
const verdict: Verdict = {
  id: 'v',
  rollout: rollout.id,
  environment: 'production',
  model: rollout.model,
  version: rollout.to,
  reference: rollout.from,
  gate: 'no_harm',
  mode: 'abort',
  answer: 'fail',
  step: 1,
  checks: [
    {
      metric: 'hard_error',
      answer: 'fail',
      measured: 4.123456,
      reference: null,
      threshold: 3.9,
      bound: 'most',
      samples: 300,
      interval: null,
      reason: 'the canary does harm',
    },
  ],
  window: null,
  atMs: 5,
}
const timestamp = '2026-11-26T07:00:00.000Z'
const phase = (data: Partial<PhaseEvent['data']> = {}): PhaseEvent => ({
  type: 'rollout.aborting',
  timestamp,
  data: { rollout, transition, text: 'no_harm: fail', verdicts: [verdict], ...data },
})
const change = (more: Partial<TransitionEvent['data']['transition']> = {}): TransitionEvent => ({
  type: 'rollout.transition',
  timestamp,
  data: { rollout, transition: { ...transition, ...more } },
})

const textsOf = (message: ReturnType<typeof slackOf>): readonly string[] =>
  message.blocks.flatMap((block) => (block.type === 'section' ? [block.text.text] : block.elements.map(({ text }) => text)))

describe('a message for Slack', () => {
  it('says of a phase what happened, why, and by which numbers', () => {
    expect(slackOf(phase())).toEqual({
      text: 'owner/Atlas in production: aborting',
      blocks: [
        {
          type: 'section',
          text: { type: 'mrkdwn', text: '*owner/Atlas in production: aborting*\n`atlas-1` → `atlas-2`, canary weight 2.5 %' },
        },
        { type: 'section', text: { type: 'mrkdwn', text: 'no_harm: fail' } },
        {
          type: 'section',
          text: {
            type: 'mrkdwn',
            text: '*no harm*: fail (mode abort)\n• hard error 4.123, at most 3.9, 300 samples: the canary does harm',
          },
        },
        { type: 'context', elements: [{ type: 'mrkdwn', text: `rollout \`r1\`, by operator:ann, ${timestamp}` }] },
      ],
    })
  })

  it('says of a change from where to where, and a person’s words beside the machine’s', () => {
    const message = slackOf(change({ reason: 'too slow <for me>' }))
    expect(message.text).toBe('owner/Atlas in production: baking → aborting')
    expect(textsOf(message)).toContain('no_harm: fail (too slow &lt;for me&gt;)')
    expect(slackOf(change({ from: 'aborting' })).text).toBe('owner/Atlas in production: aborting')
  })

  it('says of a start that was refused which gate did, who wanted it and why', () => {
    const { environment, model, from, to } = rollout
    const refused = (id: RolloutId | null) =>
      slackOf({
        type: 'rollout.start_refused',
        timestamp,
        data: { rollout: { id, environment, model, from, to }, actor: 'operator:ann', reason: 'it is <better>', verdicts: [verdict] },
      })
    expect(refused(null).text).toBe('owner/Atlas in production: start refused')
    expect(textsOf(refused(null))).toEqual([
      '*owner/Atlas in production: start refused*\n`atlas-1` → `atlas-2`',
      'gates refused it, and nothing has moved: it is &lt;better&gt;',
      expect.stringContaining('*no harm*: fail (mode abort)'),
      `by operator:ann, ${timestamp}`,
    ])
    expect(textsOf(refused(rollout.id)).at(-1)).toBe(`rollout \`r1\`, by operator:ann, ${timestamp}`)
  })

  it('leaves out checks that passed, and says what was not measured', () => {
    const [check] = verdict.checks
    if (!check) throw new Error('no check')
    const checks = [
      { ...check, answer: 'pass' as const, metric: 'fine' },
      { ...check, measured: null, threshold: null },
    ]
    const texts = textsOf(slackOf(phase({ verdicts: [{ ...verdict, checks }] })))
    expect(texts).toContain('*no harm*: fail (mode abort)\n• hard error not measured, 300 samples: the canary does harm')
  })

  it('for all texts: calls nobody, links nothing, and is never longer than Slack takes', () => {
    const wild = fc.string({ unit: fc.constantFrom('&', '<', '>', '!', 'a', '𝄞', ' '), maxLength: 8_000, size: 'max' })
    fc.assert(
      fc.property(wild, wild, fc.integer({ min: 0, max: 30 }), (text, actor, many) => {
        const [check] = verdict.checks
        const long = { ...verdict, checks: check ? [{ ...check, reason: text }] : [] }
        const model = text as ModelName
        for (const event of [
          phase({
            text,
            verdicts: Array.from({ length: many }, () => long),
            rollout: { ...rollout, model },
            transition: { ...transition, actor },
          }),
          change({ reason: text, actor }),
        ]) {
          const message = slackOf(event)
          expect(message.blocks.length).toBeLessThanOrEqual(50)
          for (const each of [message.text, ...textsOf(message)]) {
            expect(each.length).toBeGreaterThan(0)
            expect(each.length).toBeLessThanOrEqual(limits.slackTextCharsMax)
            expect(each).not.toMatch(/[<>]/)
            expect(each).not.toMatch(/&(?!amp;|lt;|gt;)/)
            expect(each.isWellFormed()).toBe(true)
          }
        }
      }),
      { numRuns: 50 },
    )
  })
})
