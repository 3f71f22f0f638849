import { posterContract } from '../../contract/core/poster.ts'

posterContract('in workerd', { url: () => 'http://receiver.test', deaf: null })
