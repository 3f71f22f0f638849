// cli/engine/inference.ts — the way of every request for a model's work, top to bottom: fault, body, model, prompt, answer.
import type { IncomingMessage } from 'node:http'
import { answer, type Outcome, type Work } from './answer.ts'
import { chatVoice, readChat } from './chat.ts'
import { completionsVoice, readCompletions } from './completions.ts'
import { embed } from './embed.ts'
import { findModel, findVersion, type Engine } from './engine.ts'
import type { Fault } from './faults.ts'
import type { Job } from './generate.ts'
import type { Loaded } from './models.ts'
import { chatPrompt, textPrompt } from './prompt.ts'
import { predict } from './predict.ts'
import { injected, loading, ok, type Refusal, type Result } from './refuse.ts'
import type { ModelVersion, Route } from './routes.ts'
import type { Asked, Sampling } from './sampling.ts'
import { jsonLengthHeader } from './tensors.ts'
import { generateVoice, readGenerate } from './text-output.ts'
import type { Head } from './voice.ts'
import { parseJson, readBytes, type Wire } from './wire.ts'

/** Those that end in tokens of a model. */
type TextRoute = Extract<Route, { kind: 'chat' | 'completions' | 'generate' | 'generate-stream' }>
export type InferenceRoute = TextRoute | Extract<Route, { kind: 'embeddings' | 'infer' }>

/** Answers on `wire`, counts the request while it runs and its outcome when it is over. */
export async function infer(route: InferenceRoute, request: IncomingMessage, wire: Wire, engine: Engine): Promise<void> {
  engine.inFlight += 1
  try {
    const outcome = await run(route, request, wire, engine)
    engine.tally[outcome] += 1
  } finally {
    engine.inFlight -= 1
  }
}

async function run(route: InferenceRoute, request: IncomingMessage, wire: Wire, engine: Engine): Promise<Outcome> {
  const fault = engine.faults.draw()
  const read = await readBytes(request)
  if (read === null) return 'aborted'
  const refuse = (refusal: Refusal): Outcome => {
    wire.refuse(refusal)
    return 'refused'
  }
  if (fault.kind === 'error') return refuse(injected(fault.status, fault.retryAfterS))
  if (!engine.isReady) return refuse(loading())
  if (!read.ok) return refuse(read.refusal)
  if (route.kind === 'infer') {
    const jsonLength = request.headers[jsonLengthHeader]
    return predict({ model: route, bytes: read.value, jsonLength: jsonLength?.toString() ?? null }, fault, wire, engine)
  }
  const json = parseJson(read.value)
  if (!json.ok) return refuse(json.refusal)
  if (route.kind === 'embeddings') return embed(json.value, fault, wire, engine)
  const planned = plan(route, json.value, fault, engine)
  if (!planned.ok) return refuse(planned.refusal)
  const { loaded, work } = planned.value
  return loaded.use(() => answer(work, wire, engine))
}

type Planned = Result<{ readonly loaded: Loaded; readonly work: Work }>

function plan(route: TextRoute, body: unknown, fault: Fault, engine: Engine): Planned {
  switch (route.kind) {
    case 'chat':
      return planChat(body, fault, engine)
    case 'completions':
      return planCompletions(body, fault, engine)
    case 'generate':
    case 'generate-stream':
      return planGenerate(body, { named: route, isStream: route.kind === 'generate-stream' }, fault, engine)
  }
}

function planChat(body: unknown, fault: Fault, engine: Engine): Planned {
  const read = readChat(body, engine.temperature)
  if (!read.ok) return read
  const asked = read.value
  const found = findModel(engine, asked.model)
  if (!found.ok) return found
  const { model, closing } = found.value
  const prompt = chatPrompt(model, asked.messages, engine.newNonce())
  if (!prompt.ok) return prompt
  const voice = chatVoice(head(engine, 'chatcmpl', model.name))
  const jobs = jobsOf(asked, [prompt.value], engine)
  return ok({ loaded: found.value, work: { ...common(asked, fault), model, closing, voice, jobs, promptTokens: prompt.value.length } })
}

function planCompletions(body: unknown, fault: Fault, engine: Engine): Planned {
  const read = readCompletions(body, engine.temperature)
  if (!read.ok) return read
  const asked = read.value
  const found = findModel(engine, asked.model)
  if (!found.ok) return found
  const { model, closing } = found.value
  const prompts: (readonly number[])[] = []
  for (const prompt of asked.prompts) {
    const tokens = textPrompt(model, prompt, 'prompt', true)
    if (!tokens.ok) return tokens
    prompts.push(tokens.value)
  }
  const voice = completionsVoice(head(engine, 'cmpl', model.name))
  const jobs = jobsOf(asked, prompts, engine)
  return ok({
    loaded: found.value,
    work: { ...common(asked, fault), model, closing, voice, jobs, promptTokens: prompts.reduce((sum, prompt) => sum + prompt.length, 0) },
  })
}

function planGenerate(
  body: unknown,
  { named, isStream }: { readonly named: ModelVersion; readonly isStream: boolean },
  fault: Fault,
  engine: Engine,
): Planned {
  const found = findVersion(engine, named)
  if (!found.ok) return found
  const read = readGenerate(body, engine.temperature)
  if (!read.ok) return read
  const asked = { ...read.value, isStream }
  const { model, closing } = found.value
  const prompt = textPrompt(model, asked.text, 'text_input', true)
  if (!prompt.ok) return prompt
  const voice = generateVoice(model.name)
  const jobs = jobsOf(asked, [prompt.value], engine)
  return ok({ loaded: found.value, work: { ...common(asked, fault), model, closing, voice, jobs, promptTokens: prompt.value.length } })
}

function common(asked: Asked, fault: Fault): Pick<Work, 'hasLogprobs' | 'isStream' | 'includeUsage' | 'fault'> {
  const { isStream, includeUsage, sampling } = asked
  return { hasLogprobs: sampling.topLogprobs !== null, isStream, includeUsage, fault }
}

function head(engine: Engine, prefix: string, model: string): Head {
  return { id: `${prefix}-${engine.newNonce()}`, createdS: engine.timeS(), model }
}

/** One job per prompt and choice, in OpenAI's order: all choices of the first prompt, then those of the second. */
function jobsOf(asked: Asked, prompts: readonly (readonly number[])[], engine: Engine): readonly Job[] {
  const { stops, tokensMax } = asked.sampling
  return prompts.flatMap((prompt) => {
    const seed = asked.sampling.seed ?? engine.newSeed()
    return Array.from({ length: asked.choices }, (_, choice) => ({
      prompt,
      stops,
      tokensMax,
      options: optionsOf(asked.sampling, seed + choice),
    }))
  })
}

function optionsOf({ temperature, topP, topLogprobs }: Sampling, seed: number): Job['options'] {
  // llama.cpp's seeds have 32 bits.
  return { temperature, topP, seed: seed >>> 0, topCount: topLogprobs }
}
