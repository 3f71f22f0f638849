// Distances between callers and regions, until round trips are measured; and the origins that callers are grouped into.

import type { OriginName } from './ids.ts'

export type Place = { readonly latitude: number; readonly longitude: number }

/** An origin is a group of colos near each other. They are Cloudflare's Durable Object location hints, each with a central place. */
export const origins: readonly (Place & { readonly name: OriginName })[] = (
  [
    ['wnam', 37.8, -119.0],
    ['enam', 40.0, -77.0],
    ['sam', -15.8, -50.0],
    ['weur', 49.5, 4.0],
    ['eeur', 51.0, 24.0],
    ['me', 25.2, 50.0],
    ['afr', -5.0, 28.0],
    ['apac', 15.0, 103.0],
    ['oc', -30.0, 148.0],
  ] as const
).map(([name, latitude, longitude]) => ({ name: name as OriginName, latitude, longitude }))

export const locationHints = ['wnam', 'enam', 'sam', 'weur', 'eeur', 'me', 'afr', 'apac', 'oc'] as const
export type LocationHint = (typeof locationHints)[number]

const radians = (degrees: number): number => (degrees * Math.PI) / 180

/** Great-circle distance in kilometres, by the haversine formula on a sphere of 6,371 km. */
export function distanceKm(a: Place, b: Place): number {
  const halfLatitude = radians(b.latitude - a.latitude) / 2
  const halfLongitude = radians(b.longitude - a.longitude) / 2
  const chord = Math.sin(halfLatitude) ** 2 + Math.cos(radians(a.latitude)) * Math.cos(radians(b.latitude)) * Math.sin(halfLongitude) ** 2
  return 2 * 6371 * Math.asin(Math.min(1, Math.sqrt(chord)))
}

/**
 * Round trip in milliseconds that such a distance usually takes: light in fibre does 200 km per millisecond,
 * there and back is 100 km per millisecond, and cables run about 1.5 times the great circle; 4 ms for the last mile.
 */
export const roundTripMs = (a: Place, b: Place): number => 4 + (1.5 * distanceKm(a, b)) / 100

/** The origin whose centre is nearest. */
export function originOf(place: Place): OriginName {
  let best: { name: OriginName; km: number } | null = null
  for (const origin of origins) {
    const km = distanceKm(place, origin)
    if (!best || km < best.km) best = { name: origin.name, km }
  }
  return best?.name ?? ('enam' as OriginName)
}
