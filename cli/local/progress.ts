// What the person at the terminal sees while the platform starts: one line per step, with its time.

export type Progress = { readonly step: <T>(what: string, work: Promise<T>) => Promise<T> }

/** Writes to `out`; on a terminal a running step is shown too and replaced when it is done. */
export function progress(out: { readonly write: (text: string) => unknown; readonly isTTY?: boolean }): Progress {
  return {
    step: async (what, work) => {
      const beganMs = performance.now()
      if (out.isTTY) out.write(`  … ${what}`)
      try {
        const value = await work
        const took = `${((performance.now() - beganMs) / 1000).toFixed(1)} s`
        out.write(`${out.isTTY ? '\r\u001b[K' : ''}  ✓ ${what} (${took})\n`)
        return value
      } catch (cause) {
        out.write(`${out.isTTY ? '\r\u001b[K' : ''}  ✗ ${what}\n`)
        throw cause
      }
    },
  }
}
