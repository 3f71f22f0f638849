// A model server on loopback that plays scripts. The model's name in the request is the script: `engine/feature` (see features below)
// or `fault/name` (scripted-faults.ts). It records what it was asked, and what became of every answer.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { embeddings, speak, type DialectName, type Spoken } from './scripted-dialects.ts'
import { engines, type AskedOf, type EngineName, type Json, type Speech } from './scripted-engines.ts'
import { faults, type FaultName } from './scripted-faults.ts'

export type Recorded = {
  readonly script: string
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
  readonly json: Json
}

/** One request under way. Everything sent waits until the other side has taken it. */
export type Exchange = {
  readonly request: Recorded
  readonly dialect: DialectName
  readonly stream: boolean
  readonly spoken: Spoken
  /** Aborts when the connection is gone. */
  readonly gone: AbortSignal
  /** What the scripts that pause wait for. */
  readonly pauseMs: number
  readonly hint: () => void
  readonly head: (status: number, headers: Readonly<Record<string, string>>) => void
  readonly send: (data: string | Uint8Array) => Promise<void>
  readonly end: (data?: string | Uint8Array) => void
  /** Breaks the connection with a reset. */
  readonly cut: () => void
  /** Waits until the other side goes away. */
  readonly hang: () => Promise<void>
}

export type Tally = { asked: number; underway: number; finished: number; abandoned: number; sentBytes: number }

export type ScriptedUpstream = {
  readonly url: string
  readonly port: number
  /** The requests a script was asked to answer, oldest first. */
  readonly requests: (script: string) => readonly Recorded[]
  readonly last: (script: string) => Recorded
  readonly tally: (script: string) => Tally
  /** Answers not yet ended, of all scripts. */
  readonly underway: () => number
  /** How long pausing scripts pause; 20 s unless set. */
  pauseMs: number
  readonly close: () => Promise<void>
}

/** What engines say in each feature. */
export const speeches = {
  text: { text: ['The', ' capital', ' of', ' Peru', ' is', ' Lima', '. 🗺️ São'] },
  'tool-call': { tools: [{ name: 'get_weather', arguments: ['{"city"', ': "Lima"', '}'] }] },
  'parallel-tools': {
    tools: [
      { name: 'get_weather', arguments: ['{"city"', ': "Lima"', '}'] },
      { name: 'get_time', arguments: ['{"city": ', '"Cusco"}'] },
    ],
  },
  reasoning: { reasoning: ['Peru', ' has', ' one', '.'], text: ['It', ' is', ' Lima', '.'] },
  vision: { text: ['A', ' red', ' square', '.'] },
  'json-schema': { text: ['{"city"', ':"Lima"', ',"country":"Peru"', '}'] },
  long: { text: Array.from({ length: 400 }, (_, i) => ` ${i}`) },
} as const satisfies Readonly<Record<string, Speech>>
export type Feature = keyof typeof speeches
export const textOf = (feature: Feature): string => ((speeches[feature] as Speech).text ?? []).join('')

/** Requests an engine says no to, in its own words. */
export type Refusing = 'bad-request' | 'too-long' | 'busy' | 'detail'
export type Script = `${EngineName}/${Feature | Refusing | 'embeddings' | 'infer'}` | `fault/${FaultName}`

const tooLong: Readonly<Record<EngineName, { readonly status: number; readonly body: Json }>> = {
  vllm: {
    status: 400,
    body: engines.vllm.refusal(400, "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens."),
  },
  sglang: {
    status: 400,
    body: engines.sglang.refusal(400, "The input (5000 tokens) is longer than the model's context length (4096 tokens)."),
  },
  tgi: {
    status: 422,
    body: engines.tgi.refusal(
      422,
      'Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 20 `max_new_tokens`',
    ),
  },
  llamacpp: {
    status: 400,
    body: {
      error: {
        code: 400,
        message: 'request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it',
        type: 'exceed_context_size_error',
        n_prompt_tokens: 5000,
        n_ctx: 4096,
      },
    },
  },
}

const refusals: Readonly<Record<Refusing, (engine: EngineName) => { readonly status: number; readonly body: Json }>> = {
  'bad-request': (engine) => ({ status: 400, body: engines[engine].refusal(400, 'temperature must be non-negative') }),
  'too-long': (engine) => tooLong[engine],
  busy: (engine) => ({ status: 429, body: engines[engine].refusal(429, 'Model is overloaded') }),
  detail: () => ({ status: 422, body: { detail: [{ type: 'missing', loc: ['body', 'messages', 0, 'role'], msg: 'Field required' }] } }),
}

/** Opens a server; it is healthy until it is closed. */
export async function scriptedUpstream(): Promise<ScriptedUpstream> {
  const recorded: Recorded[] = []
  const tallies = new Map<string, Tally>()
  const sockets = new Set<Socket>()
  const tallyOf = (script: string): Tally => {
    const known = tallies.get(script) ?? { asked: 0, underway: 0, finished: 0, abandoned: 0, sentBytes: 0 }
    tallies.set(script, known)
    return known
  }

  const server = createServer((incoming, response) => {
    void serve(incoming, response).catch(() => response.destroy())
  })
  // A test's own timeouts are the only ones.
  server.requestTimeout = 0
  server.keepAliveTimeout = 60_000
  server.on('connection', (socket) => {
    socket.setNoDelay(true)
    sockets.add(socket.once('close', () => sockets.delete(socket)))
  })

  async function serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (incoming.url ?? '/').split('?')[0] ?? '/'
    if (incoming.method === 'GET') return look(path, response)
    const body = await readBody(incoming)
    const json = parse(body)
    const script = scriptOf(path, json)
    const request = { script, method: incoming.method ?? '', path, headers: incoming.headers, body, json }
    recorded.push(request)
    const tally = tallyOf(script)
    tally.asked++
    tally.underway++
    response.once('close', () => {
      tally.underway--
      if (response.writableFinished) tally.finished++
      else tally.abandoned++
    })
    return play(request, response, tally)
  }

  async function play(request: Recorded, response: ServerResponse, tally: Tally): Promise<void> {
    const [engine = '', feature = ''] = request.script.split('/')
    const operation = operationOf(request.path)
    if (engine === 'fault') {
      const fault = faults[feature as FaultName]
      return fault ? fault(exchangeOf('vllm', speeches.text)) : refuse(404, { error: `no fault ${feature}` })
    }
    if (!(engine in engines)) return refuse(404, { error: `The model \`${request.script}\` does not exist.` })
    const name = engine as EngineName
    if (feature in refusals) {
      const { status, body } = refusals[feature as Refusing](name)
      return refuse(status, body)
    }
    if (operation === 'embeddings') return answerJson(embeddings(inputsOf(request.json), request.script))
    if (operation === 'infer') return answerJson(inferOf(request))
    if (operation === 'count_tokens') return answerJson({ input_tokens: 42 })
    const speech: Speech | undefined = speeches[feature as Feature]
    if (!speech) return refuse(404, { error: `no feature ${feature}` })
    const missing = missingOf(feature as Feature, request.json)
    if (missing) return refuse(400, engines[name].refusal(400, missing))
    return tell(exchangeOf(name, speech), feature === 'long' ? 5 : 0)

    function refuse(status: number, body: Json): void {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }

    function answerJson(body: Json): void {
      refuse(200, body)
    }

    function exchangeOf(by: EngineName, said: Speech): Exchange {
      const dialect = operation === 'embeddings' || operation === 'infer' || operation === 'count_tokens' ? 'chat' : operation
      const gone = new AbortController()
      response.once('close', () => gone.abort())
      const send = async (data: string | Uint8Array): Promise<void> => {
        if (response.destroyed) return
        const taken = response.write(data)
        tally.sentBytes += data.length
        if (!taken) await drained(response)
      }
      return {
        request,
        dialect,
        stream: request.path.endsWith('/generate_stream') || request.json['stream'] === true,
        spoken: speak(dialect, by, said, askedOf(request)),
        gone: gone.signal,
        pauseMs: upstream.pauseMs,
        hint: () => response.writeEarlyHints({ link: '</style.css>; rel=preload' }),
        head: (status, headers) => {
          response.writeHead(status, headers)
          response.flushHeaders()
        },
        send,
        end: (data) => void response.end(data),
        cut: () => void response.socket?.resetAndDestroy(),
        hang: () =>
          gone.signal.aborted ? Promise.resolve() : new Promise((resolve) => gone.signal.addEventListener('abort', () => resolve())),
      }
    }
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const requests = (script: string) => recorded.filter((each) => each.script === script)
  const upstream: ScriptedUpstream = {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    last: (script) => {
      const found = requests(script).at(-1)
      if (!found) throw new Error(`${script} was never asked`)
      return found
    },
    tally: tallyOf,
    underway: () => [...tallies.values()].reduce((sum, { underway }) => sum + underway, 0),
    pauseMs: 20_000,
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
  return upstream
}

function look(path: string, response: ServerResponse): void {
  const reply = (status: number, body: Json) =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  if (path === '/health' || path === '/v2/health/live' || path === '/v2/health/ready') return reply(200, {})
  const model = /^\/v2\/models\/([^/]+)(\/ready)?$/.exec(path)
  if (!model) return reply(404, { error: `no ${path}` })
  const name = decodeURIComponent(model[1] ?? '')
  if (model[2]) return reply(200, { name, ready: true })
  const tensor = (name: string) => ({ name, datatype: 'FP32', shape: [-1, 4] })
  return reply(200, { name, versions: ['1'], platform: 'onnxruntime_onnx', inputs: [tensor('x')], outputs: [tensor('y')] })
}

/** Plays a good answer. */
async function tell(x: Exchange, gapMs: number): Promise<void> {
  if (!x.stream) {
    x.head(200, { 'content-type': 'application/json' })
    x.end(JSON.stringify(x.spoken.whole))
    return
  }
  x.head(200, { 'content-type': 'text/event-stream; charset=utf-8' })
  const { opening, said, closing, terminal } = x.spoken.parts
  for (const event of [...opening, ...said, ...closing, terminal]) {
    if (x.gone.aborted) return
    if (event !== '') await x.send(event)
    if (gapMs > 0) await sleep(gapMs)
  }
  x.end()
}

/** What a feature needs of the request; null when it is there. A gateway that loses it on the way is found out by the refusal. */
function missingOf(feature: Feature, json: Json): string | null {
  if ((feature === 'tool-call' || feature === 'parallel-tools') && !isFilled(json['tools'])) return 'no tools arrived'
  if (feature === 'vision' && !/"type":\s*"(image|image_url|input_image)"/.test(JSON.stringify(json))) return 'no image arrived'
  if (feature === 'json-schema') {
    const format = json['response_format'] as Json | undefined
    const given = (format?.['json_schema'] as Json | undefined)?.['schema'] ?? (json['text'] as Json | undefined)?.['format']
    if (!given) return 'no schema arrived'
  }
  return null
}

const isFilled = (list: unknown): boolean => Array.isArray(list) && list.length > 0

type OperationName = DialectName | 'embeddings' | 'infer' | 'count_tokens'
function operationOf(path: string): OperationName {
  if (path.endsWith('/chat/completions')) return 'chat'
  if (path.endsWith('/completions')) return 'completions'
  if (path.endsWith('/embeddings')) return 'embeddings'
  if (path.endsWith('/count_tokens')) return 'count_tokens'
  if (path.endsWith('/messages')) return 'messages'
  if (path.endsWith('/responses')) return 'responses'
  if (path.endsWith('/infer')) return 'infer'
  return 'generate'
}

function scriptOf(path: string, json: Json): string {
  const inPath = /^\/v2\/models\/([^/]+)\//.exec(path)?.[1]
  return inPath ? decodeURIComponent(inPath) : textIn(json, 'model')
}

function askedOf({ json, script, path }: Recorded): AskedOf {
  const options = json['stream_options'] as Json | undefined
  const logprobs = json['logprobs']
  return {
    model: script,
    choices: typeof json['n'] === 'number' ? json['n'] : 1,
    logprobs: path.endsWith('/chat/completions') ? logprobs === true : typeof logprobs === 'number',
    usage: options?.['include_usage'] === true,
  }
}

const textIn = (json: Json, field: string): string => (typeof json[field] === 'string' ? json[field] : '')

const inputsOf = (json: Json): number => (Array.isArray(json['input']) && typeof json['input'][0] !== 'number' ? json['input'].length : 1)

/** The tensors that came, under other names: what arrived is what can be read in the answer. */
function inferOf({ json, script }: Recorded): Json {
  const inputs = (json['inputs'] ?? []) as readonly Json[]
  return {
    model_name: script,
    model_version: '1',
    ...(json['id'] === undefined ? {} : { id: json['id'] }),
    outputs: inputs.map((input) => ({ ...input, name: `${String(input['name'])}_out` })),
  }
}

async function readBody(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function parse(body: Buffer): Json {
  try {
    return JSON.parse(body.toString()) as Json
  } catch {
    return {}
  }
}

/** When the other side has taken what was written, or has gone. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const over = () => {
      response.off('drain', over).off('close', over)
      resolve()
    }
    response.once('drain', over).once('close', over)
  })
}
