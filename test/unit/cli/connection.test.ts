// Which platform a command speaks to, and with what.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { coreAddress, edgeAddress } from '../../../cli/api/connection.ts'

const dev = {
  edgeUrl: 'http://127.0.0.1:1',
  coreUrl: 'http://127.0.0.1:2',
  apiKey: 'local-key',
  operatorToken: 'local-token',
  model: 'atlas',
}
let folder = ''
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'isochrone-cli-'))
  mkdirSync(path.join(folder, '.isochrone'))
  mkdirSync(path.join(folder, 'below/here'), { recursive: true })
  writeFileSync(path.join(folder, '.isochrone/dev.json'), JSON.stringify(dev))
})
afterEach(() => rmSync(folder, { recursive: true }))

const place = (env: Readonly<Record<string, string>> = {}) => ({ env, workingFolder: path.join(folder, 'below/here') })
const none = { env: {}, workingFolder: '/' }

describe('core', () => {
  it('is the local platform of this folder or one above it', () => {
    expect(coreAddress({}, place())).toEqual({ url: dev.coreUrl, token: dev.operatorToken, actor: null })
  })

  it('is what an option says, before what the environment says', () => {
    const env = { ISOCHRONE_CORE_URL: 'https://core.example/', ISOCHRONE_OPERATOR_TOKEN: 'one', ISOCHRONE_ACTOR: 'ann' }
    expect(coreAddress({}, place(env))).toEqual({ url: 'https://core.example', token: 'one', actor: 'ann' })
    expect(coreAddress({ token: 'two', actor: 'bob' }, place(env))).toEqual({ url: 'https://core.example', token: 'two', actor: 'bob' })
  })

  it('elsewhere never gets the local token', () => {
    expect(() => coreAddress({ coreUrl: 'https://elsewhere.example' }, place())).toThrow('no token for https://elsewhere.example')
    expect(() => edgeAddress({ edgeUrl: 'https://elsewhere.example' }, place())).toThrow('no API key for https://elsewhere.example')
  })

  it('is in ISOCHRONE_HOME where that is said', () => {
    mkdirSync(path.join(folder, 'other'))
    writeFileSync(path.join(folder, 'other/dev.json'), JSON.stringify({ ...dev, coreUrl: 'http://127.0.0.1:3' }))
    expect(coreAddress({}, place({ ISOCHRONE_HOME: path.join(folder, 'other') })).url).toBe('http://127.0.0.1:3')
  })

  it('nowhere is said with what to do', () => {
    expect(() => coreAddress({}, none)).toThrow('give --core-url and --token, or start one here (npm start)')
    expect(() => edgeAddress({}, none)).toThrow('give --edge-url and --api-key')
    writeFileSync(path.join(folder, '.isochrone/dev.json'), '{"coreUrl":')
    expect(() => coreAddress({}, place())).toThrow('no platform')
  })

  it.each(['core.example', 'file:///etc', 'ftp://x'])('%s is no address', (coreUrl) => {
    expect(() => coreAddress({ coreUrl, token: 'x' }, none)).toThrow('must be an http or https address')
  })
})

it('the edge is found in the same way', () => {
  expect(edgeAddress({}, place())).toEqual({ url: dev.edgeUrl, apiKey: dev.apiKey })
  expect(edgeAddress({ edgeUrl: 'http://e/', apiKey: 'k' }, none)).toEqual({ url: 'http://e', apiKey: 'k' })
})
