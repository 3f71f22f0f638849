// The command line.
import { describe, expect, it } from 'vitest'
import { readFlags } from '../../cli/engine/flags.ts'
import { noFaults } from '../../cli/engine/faults.ts'

describe('readFlags', () => {
  it('has defaults for everything', () => {
    expect(readFlags([])).toEqual({
      kind: 'flags',
      flags: {
        repository: null,
        model: 'atlas-2.q8_0',
        port: 9001,
        controlPort: null,
        slots: 4,
        contextTokensMax: 4096,
        queueMax: 64,
        modelsMax: 3,
        unloadWaitMs: 10_000,
        temperature: 0,
        faultSeed: 1,
        faults: noFaults,
      },
    })
  })

  it('reads faults into the same set as the control port does', () => {
    const read = readFlags([
      '--latency-ms',
      '40',
      '--error-share',
      '0.5',
      '--error-status',
      '429',
      '--stall-after-tokens',
      '3',
      '--slow-factor',
      '4',
      '--retry-after-s',
      '2',
      '--hang-load',
      '--closed',
    ])
    expect(read.kind === 'flags' && read.flags.faults).toEqual({
      ...noFaults,
      latencyMs: 40,
      errorShare: 0.5,
      errorStatus: 429,
      stallAfterTokens: 3,
      slowFactor: 4,
      retryAfterS: 2,
      hangLoad: true,
      closed: true,
    })
  })

  it.each([
    [['--port', 'http'], '--port must be a number'],
    [['--port', '70000'], '--port must be a whole number from 0 to 65535'],
    [['--slots', '0'], '--slots must be a whole number from 1 to 64'],
    [['--temperature', '3'], '--temperature must be from 0 to 2'],
    [['--error-share', '2'], '--error-share must be a share from 0 to 1'],
    [['--slow-factor', '0'], '--slow-factor must be a number from 1 to 100'],
    [['--health-status', '42'], '--health-status must be a whole number from 200 to 599'],
    [['--gpu'], "Unknown option '--gpu'"],
    [['--port'], "Option '--port <value>' argument missing"],
    [['atlas'], /Unexpected argument 'atlas'/],
  ])('%j is a usage error', (args, message) => {
    const read = readFlags(args)
    expect(read.kind === 'usage' ? read.message : '').toMatch(message)
  })
})
