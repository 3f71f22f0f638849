// The first answer, and what is printed once it was served.

import { relative } from 'node:path'
import { places } from './places.ts'
import { Stop } from './stop.ts'

export type FirstAnswer = {
  readonly text: string
  readonly region: string
  readonly version: string
  readonly overheadMs: string
  readonly tookMs: number
}

/** How long the first answer may take: core publishes within a second, a large model needs longer for its first token. */
const firstAnswerMsMax = 60_000
const question = 'What is the capital of Kenya?'

/** Asks until the platform answers. Throws Stop with its last refusal when it does not. */
export async function firstAnswer(edgeUrl: string, apiKey: string, model: string): Promise<FirstAnswer> {
  const untilMs = performance.now() + firstAnswerMsMax
  let refusal = 'nothing was answered'
  while (performance.now() < untilMs) {
    const sentMs = performance.now()
    const answer = await ask(edgeUrl, apiKey, model)
    if (typeof answer !== 'string') return { ...answer, tookMs: Math.round(performance.now() - sentMs) }
    refusal = answer
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Stop(`the platform started but did not answer within ${firstAnswerMsMax / 1000} s. It said: ${refusal}`)
}

async function ask(edgeUrl: string, apiKey: string, model: string): Promise<Omit<FirstAnswer, 'tookMs'> | string> {
  try {
    const response = await fetch(`${edgeUrl}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages: [{ role: 'user', content: question }], max_tokens: 64 }),
      signal: AbortSignal.timeout(firstAnswerMsMax),
    })
    const text = await response.text()
    if (response.status === 401 || response.status === 403)
      throw new Stop(`the demo key is not accepted: ${text.slice(0, 300)}. To forget what is stored: npm start -- --fresh`)
    if (!response.ok) return text.slice(0, 300)
    const header = (name: string): string => response.headers.get(name) ?? ''
    return {
      text: contentOf(text),
      region: header('isochrone-region'),
      version: header('isochrone-model-version'),
      overheadMs: header('isochrone-overhead-ms'),
    }
  } catch (cause) {
    if (cause instanceof Stop) throw cause
    return cause instanceof Error ? cause.message : String(cause)
  }
}

function contentOf(json: string): string {
  const body = JSON.parse(json) as { readonly choices?: readonly { readonly message?: { readonly content?: string } }[] }
  return body.choices?.[0]?.message?.content ?? ''
}

export type Ready = {
  readonly edgeUrl: string
  readonly coreUrl: string
  readonly apiKey: string
  readonly operatorToken: string
  readonly model: string
  readonly first: FirstAnswer
}

export const welcome = ({ edgeUrl, coreUrl, apiKey, operatorToken, model, first }: Ready, tookS: number): string => `
Ready after ${tookS.toFixed(1)} s. The first answer came from ${first.region} in ${first.tookMs} ms, ${first.overheadMs} ms of them Isochrone's:
  ${question}
  ${first.text}

  edge            ${edgeUrl}    (the public API)
  core            ${coreUrl}    (the admin API)
  API key         ${apiKey}
  operator token  ${operatorToken}

Try it:

  curl -N ${edgeUrl}/v1/chat/completions \\
    -H "authorization: Bearer ${apiKey}" -H "content-type: application/json" \\
    -d '{"model":"${model}","stream":true,"messages":[{"role":"user","content":"Which countries border Germany?"}]}'

Or with the openai package:

  import OpenAI from 'openai'
  const openai = new OpenAI({ baseURL: '${edgeUrl}/v1', apiKey: '${apiKey}' })
  const answer = await openai.chat.completions.create({
    model: '${model}',
    messages: [{ role: 'user', content: 'What is the capital of Peru?' }],
  })
  console.log(answer.choices[0].message.content)

Scripts find all this in ${relative(process.cwd(), places.dev)}, logs are in ${relative(process.cwd(), places.logs)}. Ctrl-C ends everything.
`
