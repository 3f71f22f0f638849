// The Open Inference Protocol's dialect: infer with tensors, the generate extension, and metadata. Model and version stand in the path, so the
// body is only checked, never searched for a name; every field that decides nothing here travels on in the original bytes. Pure.

import * as v from 'valibot'
import { err, ok, type Result } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { ModelName } from '../../shared/ids.ts'
import type { Dialect, ReadBody, Told, Voice, Wish } from '../facts.ts'
import { readFields, readJsonBody, readPlain } from './body.ts'
import { objectOf } from './object-fields.ts'
import { jsonLengthHeader, readTensors } from './tensors.ts'

const nameCharsMax = 256

const isName = (name: string | null): name is string => name !== null && name.length > 0 && name.length <= nameCharsMax

/** Refuses `invalid_field` for `model` and `version`, which are parts of the path. */
function wishOf({ model, version }: ReadBody['path'], stream: boolean, json: unknown): Result<Wish, InferenceRefusal> {
  const detail = `expected a name of 1 to ${nameCharsMax} characters.`
  if (!isName(model)) return err({ reason: 'invalid_field', param: 'model', detail })
  if (version !== null && !isName(version)) return err({ reason: 'invalid_field', param: 'version', detail })
  return ok({ model: model as ModelName, version, stream, user: null, json })
}

/** `POST …/infer`. Refuses what `readTensors` refuses. Nothing is decided by a tensor's values, and megabytes of them are not kept. */
function readInfer(body: ReadBody): Result<Wish, InferenceRefusal> {
  const plain = readPlain(body)
  if (!plain.ok) return plain
  const tensors = readTensors(body.bytes, body.header(jsonLengthHeader))
  return tensors.ok ? wishOf(body.path, false, null) : tensors
}

const generateFields = objectOf({
  // A model's other inputs may stand beside it; they are its own business, as is what the parameters mean.
  text_input: v.union([v.string(), v.array(v.string())], 'expected a text or a list of texts'),
  parameters: v.nullish(objectOf({})),
})

/** The path alone says whether the answer streams. */
function readGenerate(body: ReadBody, stream: boolean): Result<Wish, InferenceRefusal> {
  const json = readJsonBody(body)
  if (!json.ok) return json
  const fields = readFields(generateFields, json.value)
  return fields.ok ? wishOf(body.path, stream, json.value) : fields
}

/** The protocol's error is one text. The code leads it, so that a program can still tell errors apart where headers are out of reach. */
const errorText = ({ code, message }: Told): string => JSON.stringify({ error: `${code}: ${message}` })

export const oipVoice: Voice = {
  errorBody: errorText,
  errorFrame: (told) => `data: ${errorText(told)}\n\n`,
  keepAlive: ': keep-alive\n\n',
}

/** `POST /v2/models/{model}[/versions/{version}]/…`, and `GET` of the model itself. */
export const infer: Dialect = { operation: 'infer', read: readInfer, voice: oipVoice }
export const generate: Dialect = { operation: 'generate', read: (body) => readGenerate(body, false), voice: oipVoice }
export const generateStream: Dialect = { operation: 'generate_stream', read: (body) => readGenerate(body, true), voice: oipVoice }
export const metadata: Dialect = { operation: 'metadata', read: (body) => wishOf(body.path, false, null), voice: oipVoice }

/** `GET /v2`. The model repository is the operators' business and so no extension offered here. */
export const serverMetadata = (version: string): object => ({
  name: 'isochrone',
  version,
  extensions: ['binary_tensor_data', 'generate'],
})

/** `GET /v2/health/live`, `/v2/health/ready` and `/v2/models/{model}/ready`: the status says it, these bodies repeat it. */
export const liveView = (live: boolean): object => ({ live })
export const readyView = (ready: boolean): object => ({ ready })
export const modelReadyView = (name: string, ready: boolean): object => ({ name, ready })
