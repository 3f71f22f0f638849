// Which dialect a path speaks, for answers that no operation gives: an unknown path, a bug. Pure.

import type { Voice } from '../facts.ts'
import { anthropicVoice } from './messages.ts'
import { oipVoice } from './predict.ts'
import { openAiVoice } from './refuse.ts'

export function voiceOf(path: string): Voice {
  if (path.startsWith('/v1/messages')) return anthropicVoice
  return path === '/v2' || path.startsWith('/v2/') ? oipVoice : openAiVoice
}
