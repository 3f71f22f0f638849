// The choices of a completion, whole or in pieces, as what an answer is worth (sense.ts). Pure.

import { isRecord, recordsOf, textOf, type Json } from './json.ts'
import type { Look } from './sense.ts'

/** Looks at the choices of an answer or of an event that is parsed already. */
export function lookAtChoices(look: Look, choices: readonly Json[]): void {
  for (const choice of choices) {
    if (typeof choice['index'] === 'number' && choice['index'] > 0) look.several()
    look.say(textOf(choice['text']) ?? '')
    const said = choice['delta'] ?? choice['message']
    if (isRecord(said)) lookAtMessage(look, said)
    if (choice['finish_reason'] === 'length') look.cutShort()
  }
}

function lookAtMessage(look: Look, said: Json): void {
  const { content } = said
  if (typeof content === 'string') look.say(content)
  else for (const part of recordsOf(content)) look.say(textOf(part['text']) ?? '')
  const refusal = textOf(said['refusal'])
  if (refusal !== null) {
    look.say(refusal)
    look.decline()
  }
  if (isRecord(said['audio'])) look.saySomething()
  if (isRecord(said['function_call'])) lookAtCall(look, { function: said['function_call'], index: 0 })
  for (const call of recordsOf(said['tool_calls'])) lookAtCall(look, call)
}

function lookAtCall(look: Look, call: Json): void {
  const asked: Json = isRecord(call['function']) ? call['function'] : {}
  const given = asked['arguments']
  look.call({
    index: typeof call['index'] === 'number' ? call['index'] : null,
    id: textOf(call['id']),
    name: textOf(asked['name']),
    // Arguments are JSON in a text; some engines send the object itself.
    arguments: typeof given === 'string' ? given : isRecord(given) ? JSON.stringify(given) : '',
  })
}
