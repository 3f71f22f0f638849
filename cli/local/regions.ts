// The three regions of the local platform. Engines add the round trip themselves, so that nearest is really soonest.

export const regions = [
  { name: 'us-east', latitude: 39.04, longitude: -77.49, locationHint: 'enam', roundTripMs: 5 },
  { name: 'eu-west', latitude: 53.35, longitude: -6.26, locationHint: 'weur', roundTripMs: 45 },
  { name: 'ap-south', latitude: 19.08, longitude: 72.88, locationHint: 'apac', roundTripMs: 120 },
] as const

export type LocalRegion = (typeof regions)[number]
