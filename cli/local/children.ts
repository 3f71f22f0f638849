// The platform's processes: each a group of its own, so that ending the group ends what it started too (workerd outlives a killed node).
// The groups are written down as they start; what a crash leaves behind is ended by the next start.

import { execFileSync, fork, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { readJson, writeJson } from './files.ts'
import { openLog, type LogFile } from './log-file.ts'
import { places, root } from './places.ts'
import { Stop } from './stop.ts'

export type Child = {
  readonly name: string
  readonly pid: number
  readonly process: ChildProcess
  readonly log: LogFile
  /** Resolves when the process is gone, however it ended. */
  readonly exited: Promise<string>
}

const running = new Map<number, Child>()

/** Starts a script of cli/ in a process group of its own, connected to this process: it ends itself when we go away. */
export function startChild(name: string, script: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Child {
  const log = openLog(name)
  const forked = fork(script, [...args], {
    cwd: root,
    detached: true,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  forked.stderr?.on('data', log.append)
  forked.stdout?.on('data', log.append)
  const { promise: exited, resolve } = Promise.withResolvers<string>()
  const pid = forked.pid
  if (pid === undefined) throw new Stop(`${name} could not be started (${script}).`)
  const child: Child = { name, pid, process: forked, log, exited }
  forked.once('exit', (code, signal) => {
    running.delete(pid)
    writeDown()
    log.close()
    // The group may hold more than its leader.
    killGroup(pid, 'SIGKILL')
    resolve(signal ?? `exit code ${code}`)
  })
  running.set(pid, child)
  writeDown()
  return child
}

function writeDown(): void {
  const groups = [...running.values()].map(({ name, pid }) => ({ name, pid }))
  writeJson(places.processes, { supervisor: process.pid, groups })
}

/** Ends every child: politely, and after five seconds for good. */
export async function stopChildren(): Promise<void> {
  const all = [...running.values()]
  for (const child of all) killGroup(child.pid, 'SIGTERM')
  const late = setTimeout(() => {
    for (const child of all) killGroup(child.pid, 'SIGKILL')
  }, 5_000)
  await Promise.all(all.map((child) => child.exited))
  clearTimeout(late)
  rmSync(places.processes, { force: true })
}

/**
 * Makes this process the one platform of its home, and ends what an earlier one left behind. Throws Stop when that one is still alive:
 * two on one state would destroy it. The claim is a file that only one can create.
 * A recorded number may belong to somebody else's process by now, so only groups that hold one of our programs are touched.
 */
export function claimHome(): void {
  const recorded = readJson(places.processes)
  if (isRecorded(recorded)) {
    if (recorded.supervisor !== process.pid && isOurs(commandsOfGroup(recorded.supervisor)) && isAlive(recorded.supervisor)) {
      throw new Stop(
        `the platform is already running here (process ${recorded.supervisor}). End it with Ctrl-C there, or: kill ${recorded.supervisor}`,
      )
    }
    for (const { pid } of recorded.groups) {
      if (isOurs(commandsOfGroup(pid))) killGroup(pid, 'SIGKILL')
    }
  }
  rmSync(places.processes, { force: true })
  try {
    mkdirSync(dirname(places.processes), { recursive: true })
    writeFileSync(places.processes, JSON.stringify({ supervisor: process.pid, groups: [] }), { flag: 'wx', mode: 0o600 })
  } catch (cause) {
    throw new Stop('another platform is starting here at this moment.', 1, { cause })
  }
}

type Recorded = { readonly supervisor: number; readonly groups: readonly { readonly pid: number }[] }

const isRecorded = (value: unknown): value is Recorded =>
  typeof value === 'object' &&
  value !== null &&
  'supervisor' in value &&
  Number.isInteger(value.supervisor) &&
  'groups' in value &&
  Array.isArray(value.groups) &&
  value.groups.every((each: unknown) => typeof each === 'object' && each !== null && 'pid' in each && Number.isInteger(each.pid))

const isOurs = (commands: readonly string[]): boolean =>
  commands.some((command) => command.includes(root) || command.includes('cli/local/') || command.includes('cli/engine/'))

/** Command lines of the processes of a group. */
const commandsOfGroup = (group: number): readonly string[] =>
  processTable()
    .filter((each) => each.group === group || each.pid === group)
    .map((each) => each.command)

type Row = { readonly pid: number; readonly group: number; readonly command: string }

/** Every process: from /proc where there is one (a small Linux image may lack ps), else from ps. */
function processTable(): readonly Row[] {
  if (!existsSync('/proc/self/stat')) return psTable()
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => procRow(Number(name)))
}

function procRow(pid: number): readonly Row[] {
  try {
    // `pid (name) state ppid pgrp ...`; the name may hold spaces and brackets.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const group = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2])
    return [{ pid, group, command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ') }]
  } catch {
    // It ended while we looked.
    return []
  }
}

function psTable(): readonly Row[] {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,pgid=,args='], { encoding: 'utf8', maxBuffer: 16 * 1024 * 1024 })
  return table.split('\n').flatMap((line) => {
    const match = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line)
    return match ? [{ pid: Number(match[1]), group: Number(match[2]), command: match[3] ?? '' }] : []
  })
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function killGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal)
  } catch {
    // Already gone.
  }
}
