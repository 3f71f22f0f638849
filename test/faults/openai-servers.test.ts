import type { FaultName } from '../support/scripted-faults.ts'
import { faultSuite } from './suite.ts'

/** Engines' own forms of chat errors cannot come from a server that is asked for messages or responses. */
const chatForms: readonly FaultName[] = [
  'error-first-sglang',
  'error-first-tgi',
  'error-first-llamacpp',
  'error-first-llamacpp-field',
  'error-later-field',
]

faultSuite({
  file: 'openai',
  serving: { endpoint: { operations: ['chat', 'completions', 'messages', 'responses'] } },
  dialects: [
    { dialect: 'chat' },
    { dialect: 'completions' },
    { dialect: 'messages', except: chatForms },
    { dialect: 'responses', except: chatForms },
  ],
})
