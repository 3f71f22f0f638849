import { faultSuite } from './suite.ts'

// The protocol has no terminal event and nothing that opens a stream: a connection closed in good order is the end of it.
faultSuite({
  file: 'oip',
  serving: { endpoint: { kind: 'open_inference' } },
  dialects: [
    {
      dialect: 'generate',
      except: [
        'error-first-sglang',
        'error-first-tgi',
        'error-first-llamacpp',
        'error-first-llamacpp-field',
        'error-later-field',
        'error-after-opening',
        'close-after-opening',
        'cut-after-opening',
        'close-first',
        'close-later',
        'no-terminal',
      ],
    },
  ],
})
