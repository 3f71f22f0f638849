// What a server behind the upstream contract can be asked to play, and what it says then. Data only: the servers, the contract and the
// configuration of the tests inside workerd share it.

export const scenarios = [
  'whole',
  'stream',
  'empty',
  'status-400',
  'status-404',
  'status-422',
  'status-500',
  'status-503',
  'busy',
  'redirect',
  'echo',
  'slow-head',
  'slow-body',
  'cut-stream',
  'cut-whole',
] as const
export type Scenario = (typeof scenarios)[number]

/** What a server was sent. */
export type Seen = {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export const wholeBody = '{"answer":"Lima is the capital of Peru: ¡sí!"}'
export const chunks = ['data: {"n":1}\n\n', 'data: {"n":2}\n\n', 'data: [DONE]\n\n']
/** Between the chunks of `stream`. */
export const chunkGapMs = 120
export const errorBody = (status: number): string => JSON.stringify({ error: { message: `refused with ${status}`, type: 'x', code: null } })

/** Keys of the SageMaker stand-in; the parts to be kept secret are canaries: they must be seen nowhere. */
export const sageMakerKeys = {
  accessKeyId: 'AKIACANARY0000000001',
  secretAccessKey: 'canary-6f1d2b7e-secret-key',
  sessionToken: 'canary-6f1d2b7e-session-token',
}
export const sageMakerRegion = 'eu-central-1'
