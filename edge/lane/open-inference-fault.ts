// What a server of the Open Inference Protocol means by an error. Its shape says little, one text or FastAPI's detail, and its status less:
// Triton answers 400 for a model it does not have. So the words decide whose fault it was. Pure.

import { engineFault } from './engine-error.ts'
import type { EngineFault } from './lane.ts'

/** vLLM, TensorRT-LLM, llama.cpp and Hugging Face on a prompt that does not fit. */
const tooLong =
  /maximum context length|context (window|size|length)|exceeds? (the )?max(imum)?[ _]?(model|input|sequence|prompt)[ _-]?len|longer than the maximum|must be less than max_(input|seq)/i

/** Triton, KServe and MLServer on a model that is not there, or not yet. From the text's beginning: an input of a model can be missing too. */
const noModel =
  /^(request for unknown model|model (with name )?\S+( (with )?version \S+)? ((is )?not (at ready|ready|found|loaded|available)|does not exist))/i

/** A body with a bad status. The path was chosen here and the endpoint registered here, so a model or path it lacks is our fault, not the caller's. */
export function oipFault(status: number, body: string): EngineFault {
  const fault = engineFault(status, body)
  if (fault.code === 'context_length_exceeded' || tooLong.test(fault.message)) {
    return { ...fault, status: 400, code: 'context_length_exceeded' }
  }
  const isOurs = status === 404 || status === 405 || (status < 500 && noModel.test(fault.message))
  return isOurs ? { ...fault, status: 502 } : fault
}
