// Whether an operator's address lies in the public Internet, and if not, in which range. Pure: names are judged by their spelling,
// never looked up. The address is judged after WHATWG parsing, which turns every spelling of an IPv4 address (decimal, octal,
// hexadecimal, short, percent-encoded, full-width) into four decimal numbers; what a fetch would connect to is what is judged.
// Ranges: the IANA special-purpose registries (RFC 6890) as of November 2026. What is not known to be public is refused.

const ipv4Ranges = [
  ['0.0.0.0/8', 'this_network'],
  ['10.0.0.0/8', 'private'],
  ['100.64.0.0/10', 'carrier_nat'],
  ['127.0.0.0/8', 'loopback'],
  // 169.254.169.254 is where clouds hand out an instance's credentials.
  ['169.254.0.0/16', 'link_local'],
  ['172.16.0.0/12', 'private'],
  ['192.0.0.0/24', 'protocol'],
  ['192.0.2.0/24', 'documentation'],
  ['192.88.99.0/24', 'six_to_four'],
  ['192.168.0.0/16', 'private'],
  ['198.18.0.0/15', 'benchmarking'],
  ['198.51.100.0/24', 'documentation'],
  ['203.0.113.0/24', 'documentation'],
  ['224.0.0.0/4', 'multicast'],
  ['255.255.255.255/32', 'broadcast'],
  ['240.0.0.0/4', 'reserved'],
] as const

/** The first that holds decides. Those that carry an IPv4 address are refused whatever they carry: there is a plain way to write it. */
const ipv6Ranges = [
  ['::/128', 'unspecified'],
  ['::1/128', 'loopback'],
  ['::/96', 'ipv4_compatible'],
  ['::ffff:0:0/96', 'ipv4_mapped'],
  ['64:ff9b::/96', 'nat64'],
  ['64:ff9b:1::/48', 'nat64'],
  ['100::/64', 'discard'],
  ['2001::/32', 'teredo'],
  ['2001::/23', 'protocol'],
  ['2001:db8::/32', 'documentation'],
  ['2002::/16', 'six_to_four'],
  ['3fff::/20', 'documentation'],
  ['fc00::/7', 'unique_local'],
  ['fe80::/10', 'link_local'],
  ['fec0::/10', 'site_local'],
  ['ff00::/8', 'multicast'],
] as const

/** Names that never mean a public server (RFC 6761, 6762, 8375; `internal` by ICANN's resolution of 2024). */
const privateSuffixes = ['localhost', 'local', 'internal', 'home.arpa'] as const

export type AddressRange =
  | (typeof ipv4Ranges)[number][1]
  | (typeof ipv6Ranges)[number][1]
  /** Not an absolute address, or one that is neither http nor https. */
  | 'not_http'
  /** A name that only a private network knows. */
  | 'private_name'
  | 'single_label'
  /** A dot at the end: the same server under a name that comparisons and certificates miss. */
  | 'trailing_dot'

/** The range that keeps an address from being public; null when it is public. */
export function classify(address: string): AddressRange | null {
  const url = URL.parse(address)
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) return 'not_http'
  const { hostname } = url
  if (hostname.startsWith('[')) return ipv6RangeOf(groupsOf(hostname.slice(1, -1)))
  return isIpv4(hostname) ? ipv4RangeOf(octetsOf(hostname)) : nameRangeOf(hostname)
}

/** As classify, for a deployment that may (or may not) reach private addresses: what is not http is refused in either. */
export function refusedRange(address: string, allowPrivate: boolean): AddressRange | null {
  const range = classify(address)
  return allowPrivate && range !== 'not_http' ? null : range
}

/** The variable that lets a deployment reach private addresses says so with this one text; anything else does not. */
export const allowsPrivate = (variable: string | undefined): boolean => variable === 'true'

function nameRangeOf(hostname: string): AddressRange | null {
  const name = hostname.replace(/\.+$/, '')
  if (privateSuffixes.some((suffix) => name === suffix || name.endsWith(`.${suffix}`))) return 'private_name'
  if (!name.includes('.')) return 'single_label'
  return name === hostname ? null : 'trailing_dot'
}

function ipv4RangeOf(octets: readonly number[]): AddressRange | null {
  return ipv4Ranges.find(([range]) => holds(range, octets, 8))?.[1] ?? null
}

function ipv6RangeOf(groups: readonly number[]): AddressRange | null {
  const special = ipv6Ranges.find(([range]) => holds(range, groups, 16))?.[1]
  // Only 2000::/3 is global unicast (RFC 4291, 2.4): all else is reserved, also where the registry has not named it yet.
  return special ?? (holds('2000::/3', groups, 16) ? null : 'reserved')
}

/** Whether a range in CIDR notation holds an address; both in parts of `bits` bits each. */
function holds(range: string, parts: readonly number[], bits: 8 | 16): boolean {
  const [base = '', length = ''] = range.split('/')
  const first = bits === 8 ? octetsOf(base) : groupsOf(base)
  return first.every((part, index) => {
    const fixed = Math.min(bits, Math.max(0, Number(length) - index * bits))
    return part >> (bits - fixed) === (parts[index] ?? -1) >> (bits - fixed)
  })
}

const isIpv4 = (hostname: string): boolean => /^\d+\.\d+\.\d+\.\d+$/.test(hostname)
const octetsOf = (dotted: string): readonly number[] => dotted.split('.').map(Number)

/** The eight groups of an IPv6 address in hexadecimal groups, as WHATWG writes it and as the table above does: never with a dotted part. */
function groupsOf(text: string): readonly number[] {
  const [left = '', right] = text.split('::')
  const numbers = (part: string) => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)))
  const head = numbers(left)
  if (right === undefined) return head
  const tail = numbers(right)
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail]
}
