// The one way to give up: a sentence for the person at the terminal, and an exit code. Anything else that is thrown is a bug.

export class Stop extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode = 1, options?: ErrorOptions) {
    super(message, options)
    this.name = 'Stop'
    this.exitCode = exitCode
  }
}
