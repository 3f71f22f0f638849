import Anthropic from '@anthropic-ai/sdk'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anthropicVoice, countTokens, messages, readCountTokens, readMessages } from '../../../edge/http/messages.ts'
import { tell } from '../../../edge/http/refuse.ts'
import { bytes } from '../../support/stream.ts'
import { anthropicFor, namedSse } from '../../support/lane-runs.ts'

const good = { model: 'atlas', max_tokens: 10, messages: [{ role: 'user', content: 'Hi' }] }

describe('readMessages', () => {
  it.each([
    ['the least', good, { model: 'atlas', version: null, stream: false, user: null }],
    ['a stream', { ...good, stream: true }, { stream: true }],
    ['null for "not set"', { ...good, stream: null, metadata: null }, { stream: false, user: null }],
    ['a user', { ...good, metadata: { user_id: 'u-1' } }, { user: 'u-1' }],
    ['an empty user', { ...good, metadata: { user_id: '' } }, { user: null }],
    ['unknown fields', { ...good, thinking: { type: 'adaptive' }, brand_new: 1 }, { model: 'atlas' }],
    ['blocks of any type', { ...good, messages: [{ role: 'user', content: [{ type: 'hologram', x: 1 }] }] }, { model: 'atlas' }],
    ['a system message inside', { ...good, messages: [...good.messages, { role: 'system', content: 'Be brief.' }] }, { model: 'atlas' }],
  ])('takes %s', (_, body, expected) => {
    expect(readMessages(body)).toMatchObject({ ok: true, value: { ...expected, json: body } })
  })

  it.each([
    ['no model', { ...good, model: undefined }, 'model'],
    ['an empty model', { ...good, model: '' }, 'model'],
    ['no messages', { ...good, messages: undefined }, 'messages'],
    ['an empty list', { ...good, messages: [] }, 'messages'],
    ['an unknown role', { ...good, messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].role'],
    ['a message without content', { ...good, messages: [{ role: 'user' }] }, 'messages[0].content'],
    ['a message that is none', { ...good, messages: ['Hi'] }, 'messages[0]'],
    ['no max_tokens', { ...good, max_tokens: undefined }, 'max_tokens'],
    ['max_tokens of zero', { ...good, max_tokens: 0 }, 'max_tokens'],
    ['half a token', { ...good, max_tokens: 1.5 }, 'max_tokens'],
    ['a stream that is no boolean', { ...good, stream: 'yes' }, 'stream'],
    ['a list', [], 'body'],
    ['nothing', null, 'body'],
  ])('refuses %s', (_, body, param) => {
    expect(readMessages(body)).toMatchObject({ ok: false, error: { reason: 'invalid_field', param } })
  })

  it('never throws (property)', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (body) => {
        expect(typeof readMessages(body).ok).toBe('boolean')
      }),
    )
  })
})

describe('readCountTokens', () => {
  it('needs no max_tokens and never streams', () => {
    const { max_tokens: _, ...body } = good
    expect(readCountTokens({ ...body, stream: true })).toMatchObject({ ok: true, value: { model: 'atlas', stream: false } })
    expect(readCountTokens({ ...body, messages: [] })).toMatchObject({ ok: false, error: { param: 'messages' } })
  })
})

it('the dialects read bytes', () => {
  const read = (body: string) => ({
    bytes: bytes(body),
    contentType: 'application/json',
    header: () => null,
    path: { model: null, version: null },
  })
  expect(messages.read(read(JSON.stringify(good)))).toMatchObject({ ok: true, value: { model: 'atlas' } })
  expect(messages.read(read('{'))).toMatchObject({ ok: false, error: { reason: 'invalid_json' } })
  expect([messages.operation, countTokens.operation]).toEqual(['messages', 'count_tokens'])
})

describe('anthropicVoice', () => {
  const told = (status: number) => ({ status, type: 'x', code: 'some_code', message: 'Some words.', param: null, retryAfterMs: null })

  it.each([
    [400, 'invalid_request_error', Anthropic.BadRequestError],
    [401, 'authentication_error', Anthropic.AuthenticationError],
    [403, 'permission_error', Anthropic.PermissionDeniedError],
    [404, 'not_found_error', Anthropic.NotFoundError],
    [405, 'invalid_request_error', Anthropic.APIError],
    [413, 'request_too_large', Anthropic.APIError],
    [415, 'invalid_request_error', Anthropic.APIError],
    [429, 'rate_limit_error', Anthropic.RateLimitError],
    [500, 'api_error', Anthropic.InternalServerError],
    [502, 'api_error', Anthropic.InternalServerError],
    [503, 'overloaded_error', Anthropic.InternalServerError],
    [504, 'timeout_error', Anthropic.InternalServerError],
    [529, 'overloaded_error', Anthropic.InternalServerError],
  ])('status %i is an %s, as the real client reads it', async (status, type, kind) => {
    const body = anthropicVoice.errorBody(told(status))
    const error: unknown = await anthropicFor(body, { status })
      .messages.create(asked)
      .catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(kind)
    expect(error).toMatchObject({ status, type, errorCode: 'some_code', apiMessage: 'Some words.' })
    expect(JSON.parse(body)).toMatchObject({ type: 'error', error: { code: 'some_code' } })
  })

  const asked: Anthropic.MessageCreateParamsNonStreaming = { model: 'atlas', max_tokens: 9, messages: [{ role: 'user', content: 'Hi' }] }

  it('names the field at fault', () => {
    const refusal = tell({ reason: 'invalid_field', param: 'messages[0].role', detail: 'no.' })
    expect(JSON.parse(anthropicVoice.errorBody(refusal))).toMatchObject({
      error: { param: 'messages[0].role', type: 'invalid_request_error' },
    })
  })

  const opening = namedSse(
    {
      type: 'message_start',
      message: {
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        model: 'atlas',
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { input_tokens: 1, output_tokens: 0 },
      },
    } as { type: string },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } } as { type: string },
  )
  const closing = namedSse(
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hello' } } as { type: string },
    { type: 'content_block_stop', index: 0 } as { type: string },
    { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 1 } } as { type: string },
    { type: 'message_stop' },
  )

  it('its error frame ends a stream of the real client with type, code and message', async () => {
    const stream = anthropicFor(opening + anthropicVoice.errorFrame(told(503))).messages.stream(asked)
    const error: unknown = await stream.finalMessage().catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(Anthropic.APIError)
    expect(error).toMatchObject({ type: 'overloaded_error', errorCode: 'some_code', apiMessage: 'Some words.' })
  })

  it.each([
    ['its own', anthropicVoice.keepAlive],
    ['a comment', ': keep-alive\n\n'],
  ])('signs of life (%s) go unseen by the real client wherever they come', async (_, life) => {
    const stream = anthropicFor(life + opening + life + life + closing).messages.stream(asked)
    await expect(stream.finalText()).resolves.toBe('Hello')
  })
})
