import { BlockList } from 'node:net'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { allowsPrivate, classify, refusedRange } from '../../../shared/address.ts'

describe('public addresses', () => {
  it.each([
    'http://example.com',
    'https://engine.example.com:8443/v1',
    'https://a.b.c.example',
    'http://8.8.8.8',
    'http://1.1.1.1:8080/x',
    'http://9.255.255.255',
    'http://11.0.0.0',
    'http://100.63.255.255',
    'http://100.128.0.0',
    'http://126.255.255.255',
    'http://128.0.0.0',
    'http://169.253.255.255',
    'http://169.255.0.0',
    'http://172.15.255.255',
    'http://172.32.0.0',
    'http://192.0.1.0',
    'http://192.0.3.0',
    'http://192.167.255.255',
    'http://192.169.0.0',
    'http://198.17.255.255',
    'http://198.20.0.0',
    'http://198.51.99.255',
    'http://203.0.114.0',
    'http://223.255.255.255',
    'http://[2606:4700:4700::1111]',
    'http://[2001:200::]',
    'http://[2001:db7:ffff::1]',
    'http://[2001:db9::1]',
    'http://[2003::1]',
    'http://[3ffe:ffff::1]',
    'http://[2a00:1450::]:443',
    // Names that only look like the others.
    'http://localhost.example.com',
    'http://notlocalhost.com',
    'http://mylocal.com',
    'http://internal.example.com',
    'http://home.arpa.example',
    'http://10.example.com',
    'http://127.0.0.1.nip.io',
  ])('%s', (address) => {
    expect(classify(address)).toBeNull()
  })
})

describe('the others', () => {
  it.each([
    // Each range at both ends.
    ['http://0.0.0.0', 'this_network'],
    ['http://0.255.255.255', 'this_network'],
    ['http://10.0.0.0', 'private'],
    ['http://10.255.255.255', 'private'],
    ['http://100.64.0.0', 'carrier_nat'],
    ['http://100.127.255.255', 'carrier_nat'],
    ['http://127.0.0.0', 'loopback'],
    ['http://127.255.255.255:9/x', 'loopback'],
    ['http://169.254.0.0', 'link_local'],
    ['http://169.254.169.254/latest/meta-data', 'link_local'],
    ['http://169.254.255.255', 'link_local'],
    ['http://172.16.0.0', 'private'],
    ['http://172.31.255.255', 'private'],
    ['http://192.0.0.0', 'protocol'],
    ['http://192.0.0.255', 'protocol'],
    ['http://192.0.2.0', 'documentation'],
    ['http://192.0.2.255', 'documentation'],
    ['http://192.88.99.1', 'six_to_four'],
    ['http://192.168.0.0', 'private'],
    ['http://192.168.255.255', 'private'],
    ['http://198.18.0.0', 'benchmarking'],
    ['http://198.19.255.255', 'benchmarking'],
    ['http://198.51.100.0', 'documentation'],
    ['http://203.0.113.255', 'documentation'],
    ['http://224.0.0.0', 'multicast'],
    ['http://239.255.255.255', 'multicast'],
    ['http://240.0.0.0', 'reserved'],
    ['http://255.255.255.254', 'reserved'],
    ['http://255.255.255.255', 'broadcast'],
    // Spellings of 127.0.0.1 and of the metadata address.
    ['http://2130706433', 'loopback'],
    ['http://0x7f000001', 'loopback'],
    ['http://0x7F.0.0.1', 'loopback'],
    ['http://0x7f.1', 'loopback'],
    ['http://0177.0.0.1', 'loopback'],
    ['http://0177.0.0.01', 'loopback'],
    ['http://017700000001', 'loopback'],
    ['http://127.1', 'loopback'],
    ['http://127.0.1', 'loopback'],
    ['http://127.0.0.1.', 'loopback'],
    ['http://%31%32%37.0.0.1', 'loopback'],
    ['http://１２７.0.0.1', 'loopback'],
    ['http://127。0。0。1', 'loopback'],
    ['http://①②⑦.0.0.1', 'loopback'],
    ['http://0', 'this_network'],
    ['http://2852039166', 'link_local'],
    ['http://0xa9fea9fe', 'link_local'],
    ['http://0251.0376.0251.0376', 'link_local'],
    ['http://169.16689662', 'link_local'],
    ['  http://127.0.0.1\t', 'loopback'],
    ['http:\\\\127.0.0.1', 'loopback'],
    ['http:127.0.0.1', 'loopback'],
    ['http://user@127.0.0.1', 'loopback'],
    ['http://example.com@127.0.0.1', 'loopback'],
    // IPv6.
    ['http://[::]', 'unspecified'],
    ['http://[::1]', 'loopback'],
    ['http://[0:0:0:0:0:0:0:1]', 'loopback'],
    ['http://[::127.0.0.1]', 'ipv4_compatible'],
    ['http://[::8.8.8.8]', 'ipv4_compatible'],
    ['http://[::ffff:127.0.0.1]', 'ipv4_mapped'],
    ['http://[::ffff:7f00:1]', 'ipv4_mapped'],
    ['http://[::ffff:8.8.8.8]', 'ipv4_mapped'],
    ['http://[::FFFF:169.254.169.254]', 'ipv4_mapped'],
    ['http://[::ffff:0:127.0.0.1]', 'reserved'],
    ['http://[64:ff9b::7f00:1]', 'nat64'],
    ['http://[64:ff9b::10.0.0.1]', 'nat64'],
    ['http://[64:ff9b:1::1]', 'nat64'],
    ['http://[64:ff9b:1:ffff:ffff:ffff:ffff:ffff]', 'nat64'],
    ['http://[64:ff9b:2::1]', 'reserved'],
    ['http://[100::1]', 'discard'],
    ['http://[100:0:0:1::1]', 'reserved'],
    ['http://[2001::1]', 'teredo'],
    ['http://[2001:0:ffff::1]', 'teredo'],
    ['http://[2001:2::1]', 'protocol'],
    ['http://[2001:10::1]', 'protocol'],
    ['http://[2001:1ff:ffff::1]', 'protocol'],
    ['http://[2001:db8::1]', 'documentation'],
    ['http://[2001:db8:ffff:ffff::1]', 'documentation'],
    ['http://[2002:7f00:1::]', 'six_to_four'],
    ['http://[2002:ffff:ffff:ffff::1]', 'six_to_four'],
    ['http://[3fff::1]', 'documentation'],
    ['http://[3fff:fff:ffff::1]', 'documentation'],
    ['http://[4000::1]', 'reserved'],
    ['http://[5f00::1]', 'reserved'],
    ['http://[fc00::1]', 'unique_local'],
    ['http://[fdff:ffff::1]', 'unique_local'],
    ['http://[fd00:ec2::254]', 'unique_local'],
    ['http://[fe00::1]', 'reserved'],
    ['http://[fe80::1]', 'link_local'],
    ['http://[febf:ffff::1]', 'link_local'],
    ['http://[fec0::1]', 'site_local'],
    ['http://[feff::1]', 'site_local'],
    ['http://[ff00::1]', 'multicast'],
    ['http://[ff02::1]', 'multicast'],
    // Names.
    ['http://localhost', 'private_name'],
    ['http://LOCALHOST:8080', 'private_name'],
    ['http://localhost.', 'private_name'],
    ['http://localhost..', 'private_name'],
    ['http://a.localhost', 'private_name'],
    ['http://ⓛocalhost', 'private_name'],
    ['http://local%68ost', 'private_name'],
    ['http://printer.local', 'private_name'],
    ['http://printer.local.', 'private_name'],
    ['http://local', 'private_name'],
    ['http://metadata.google.internal', 'private_name'],
    ['http://internal', 'private_name'],
    ['http://nas.home.arpa', 'private_name'],
    ['http://home.arpa', 'private_name'],
    ['http://engine', 'single_label'],
    ['http://engine:8000/v1', 'single_label'],
    ['http://engine.', 'single_label'],
    ['http://example.com.', 'trailing_dot'],
    // Nothing that could be called.
    ['', 'not_http'],
    ['example.com', 'not_http'],
    ['//example.com', 'not_http'],
    ['ftp://example.com', 'not_http'],
    ['file:///etc/passwd', 'not_http'],
    ['gopher://example.com', 'not_http'],
    ['ws://example.com', 'not_http'],
    ['data:text/plain,x', 'not_http'],
    ['javascript:1', 'not_http'],
    ['blob:http://example.com/x', 'not_http'],
    ['http://', 'not_http'],
    ['http://256.0.0.1', 'not_http'],
    ['http://1.2.3.4.5', 'not_http'],
    ['http://0x100000000', 'not_http'],
    ['http://[::1', 'not_http'],
    ['http://[fe80::1%25eth0]', 'not_http'],
  ])('%s: %s', (address, range) => {
    expect(classify(address)).toBe(range)
  })
})

/** The same promise by other means: the ranges written out again, and Node's own list of subnets to look them up in. */
const refused = new BlockList()
const global6 = new BlockList()
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  refused.addSubnet(net, bits, 'ipv4')
for (const [net, bits] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  refused.addSubnet(net, bits, 'ipv6')
global6.addSubnet('2000::', 3, 'ipv6')

/** Near the edges of ranges more often than chance would have it. */
const octet = fc.oneof(
  fc.integer({ min: 0, max: 255 }),
  fc.constantFrom(0, 10, 99, 100, 113, 127, 168, 169, 172, 192, 198, 203, 224, 254, 255),
)
const ipv4 = fc.tuple(octet, octet, octet, octet)
const group = fc.oneof(
  fc.integer({ min: 0, max: 0xffff }),
  fc.constantFrom(0, 1, 0x64, 0x100, 0x1ff, 0x200, 0xdb8, 0x2000, 0x2001, 0x2002, 0x3fff, 0x4000, 0xff9b, 0xfc00, 0xfe80, 0xffff),
)

describe('for all addresses', () => {
  it('of IPv4, however they are spelt: public exactly where the reference says so', () => {
    const spellings: readonly ((octets: readonly number[]) => string)[] = [
      (octets) => octets.join('.'),
      (octets) => octets.map((each) => `0${each.toString(8)}`).join('.'),
      (octets) => octets.map((each) => `0x${each.toString(16)}`).join('.'),
      (octets) => String(octets.reduce((number, each) => number * 256 + each, 0)),
      ([a = 0, b = 0, c = 0, d = 0]) => `${a}.${b}.${c * 256 + d}`,
      ([a = 0, b = 0, c = 0, d = 0]) => `${a}.${(b * 256 + c) * 256 + d}.`,
    ]
    fc.assert(
      fc.property(ipv4, fc.constantFrom(...spellings), (octets, spell) => {
        expect(classify(`http://${spell(octets)}:8000/v1`) === null).toBe(!refused.check(octets.join('.'), 'ipv4'))
      }),
      { numRuns: 5_000 },
    )
  })

  it('of IPv6: public exactly where the reference says so', () => {
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        const text = groups.map((each) => each.toString(16)).join(':')
        expect(classify(`https://[${text}]/`) === null).toBe(global6.check(text, 'ipv6') && !refused.check(text, 'ipv6'))
      }),
      { numRuns: 5_000 },
    )
  })

  it('an IPv4 address inside an IPv6 one is never public', () => {
    fc.assert(
      fc.property(ipv4, fc.constantFrom('::', '::ffff:', '64:ff9b::', '64:ff9b:1::'), (octets, prefix) => {
        expect(classify(`http://[${prefix}${octets.join('.')}]`)).not.toBeNull()
      }),
    )
  })

  it('texts: an answer, never thrown over, and a port, path or query changes nothing', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.webUrl()), (text) => void classify(text)))
    fc.assert(
      fc.property(fc.domain(), fc.integer({ min: 1, max: 65_535 }), fc.webPath(), (host, port, path) => {
        expect(classify(`https://${host}:${port}${path}`)).toBe(classify(`http://${host}`))
      }),
    )
  })
})

describe('a deployment that may', () => {
  it('reaches private addresses, and nothing that is not http', () => {
    expect(refusedRange('http://127.0.0.1', true)).toBeNull()
    expect(refusedRange('http://localhost:1', true)).toBeNull()
    expect(refusedRange('ftp://example.com', true)).toBe('not_http')
    expect(refusedRange('http://127.0.0.1', false)).toBe('loopback')
  })

  it.each([
    ['true', true],
    ['True', false],
    ['1', false],
    ['false', false],
    ['', false],
    [undefined, false],
  ])('says so with the one text: %j is %s', (variable, allowed) => {
    expect(allowsPrivate(variable)).toBe(allowed)
  })
})
