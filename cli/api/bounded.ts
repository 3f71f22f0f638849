// A body read up to a bound: an answer that never ends must not fill this machine's memory.

import { Stop } from '../local/stop.ts'

/** The largest answer there is: a report with its items (limits.reportCharsMax), several times over. */
const bytesMax = 16 * 1024 * 1024

/** The body's text. Throws Stop when it is larger than 16 MB. */
export async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > bytesMax) throw new Stop(`${response.url} answered with more than ${bytesMax} bytes.`)
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

/** The JSON in a text; undefined when it is none. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
