// cli/engine/one-by-one.ts — keeps llama.cpp from sampling for two sequences at the same time. node-llama-cpp 3.21.1 samples each sequence of a
// decode call on its own thread of the pool, and reading logits is not safe there (most likely as llama.cpp orders them at the first read): of 250
// greedy answers, 15 came out different from the same ones alone.

/** The native context inside node-llama-cpp's, which is not part of its interface; its method is replaced. */
type Native = { readonly sampleToken: (...args: readonly unknown[]) => Promise<unknown> }

/**
 * Makes the context sample for one sequence after the other. Throws when node-llama-cpp is built differently from the version this was
 * written for: then it has to be looked at again, not skipped.
 */
export function sampleOneByOne(context: object): void {
  const native = nativeOf(context)
  const sampleAtOnce = native.sampleToken.bind(native)
  let last: Promise<unknown> = Promise.resolve()
  const sampleToken: Native['sampleToken'] = (...args) => {
    const sample = (): Promise<unknown> => sampleAtOnce(...args)
    // One that failed does not keep the next from its turn.
    const mine = last.then(sample, sample)
    last = mine
    return mine
  }
  // Its prototype's method cannot be written to.
  Object.defineProperty(native, 'sampleToken', { value: sampleToken })
}

function nativeOf(context: object): Native {
  const native: unknown = Reflect.get(context, '_ctx')
  const isKnown = typeof native === 'object' && native !== null && 'sampleToken' in native && typeof native.sampleToken === 'function'
  if (!isKnown) throw new Error('node-llama-cpp has changed: its contexts can no longer be kept from sampling in parallel')
  return native as Native
}
