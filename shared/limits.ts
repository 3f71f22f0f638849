// Every number of the system, with its unit in its name and its reason above it.

export const limits = {
  /** 10 MB: OpenAI-style clients send images inline; more than this belongs in object storage. */
  bodyBytesMax: 10 * 1024 * 1024,
  /** Objects and lists in one JSON body: a conversation has thousands at most, and each costs a hundred times its two bytes. */
  jsonNestedMax: 200_000,
  /** A body has this long to arrive: a sender slower than that holds memory that others need. */
  uploadMsMax: 60_000,
  /** Bodies that are arriving hold at most this much of an isolate's 128 MB together. */
  uploadsHeldBytesMax: 48 * 1024 * 1024,
  /** What is left of a refused body is read and forgotten, so that the sender gets to the answer; past these bounds the connection just closes. */
  discardBytesMax: 64 * 1024 * 1024,
  discardMsMax: 5_000,
  /** Admin bodies are small records. */
  adminBodyBytesMax: 256 * 1024,

  /** A request without a deadline of its own gets ten minutes, the default timeout of the openai client. */
  deadlineMsDefault: 600_000,
  /** No request may hold a lease longer than an hour. */
  deadlineMsMax: 3_600_000,
  /** A lease outlives its request by this much, so that a release on the way still finds it. */
  leaseGraceMs: 5_000,

  /** First token: as long, unless a model's own limit says otherwise. Reasoning models think for minutes before the first word. */
  firstTokenMsDefault: 30_000,
  /** A stream is held back for its first real token this long; then it commits and is kept alive, for the caller must see life. */
  holdMsDefault: 10_000,
  /** What a model's own waits for first token and hold may be. */
  modelWaitMsMin: 100,
  modelWaitMsMax: 600_000,
  /** Held back at most this many bytes of lifecycle events. */
  holdBytesMax: 256 * 1024,
  /** Proxies close connections after 30 to 60 s of silence; a comment goes out well before. */
  keepAliveMs: 15_000,
  /** A stall is this many times the slowest gap a model has shown lately, within floor and ceiling. */
  stallFactor: 8,
  stallMsMin: 10_000,
  stallMsMax: 120_000,
  /** Paces of model versions remembered by one isolate. */
  cadencesHeldMax: 1_000,
  /** After its last event an engine has this long to close by itself, so that its connection can be used again. */
  closeMsMax: 250,
  /** A JSON answer up to this size is held until it is whole, so that a cut before its end can still fail over. */
  heldAnswerBytesMax: 8 * 1024 * 1024,
  /** One server-sent event; an engine that sends more without a boundary is broken, and it is not held any longer. */
  eventBytesMax: 1024 * 1024,
  /** An engine's error body is read up to this size to find its message. */
  errorBodyBytesMax: 64 * 1024,
  /** After a retryable failure one other endpoint is tried: two attempts in all. */
  attemptsMax: 2,
  /** Times a request is routed at most: its attempts, and again when a newer snapshot moved it to another version. */
  roundsMax: 6,
  /** When a cell has no room the next nearest is asked, at most this many cells in all. */
  cellsAskedMax: 4,

  /** Same-metro calls take a few milliseconds; without an answer in this time the last snapshot's weights decide. */
  ledgerWaitMsMax: 250,
  /** How long a refusal waits to learn whether the snapshot it rests on is out of date. */
  snapshotWaitMsMax: 500,
  /** A snapshot confirmed within this time is not checked again before a refusal. Half of the two seconds promised for a write. */
  snapshotFreshMs: 500,
  /** A key's record is read again after this time, or at once when the snapshot names the key as changed. */
  credentialFreshMs: 60_000,
  /** Unknown key ids are remembered this long, so that guessing does not reach the database each time. */
  credentialUnknownMs: 1_000,
  /** How long an isolate waits for a key's record before it turns to the slow copy. */
  credentialWaitMsMax: 2_000,
  /** Records of keys held by one isolate: about 1 KB each. */
  credentialsHeldMax: 10_000,
  /** Credentials of endpoints that one isolate keeps opened: opening costs a tenth of a millisecond, and few are in use at once. */
  openedHeldMax: 256,
  /** A refused caller comes back after this time; openai 7 ignores more than 60 s. */
  retryAfterMsDefault: 1_000,
  retryAfterMsMax: 60_000,

  /** Leases one ledger may hold: a bound on its memory, far above what its endpoints can run. */
  leasesMax: 20_000,
  /** Settled leases carried by one call. */
  settledMax: 256,

  /** The control loop's turn. */
  turnMs: 1_000,
  /** Liveness: interval, patience, and how many in a row change the state (docs/design/figures.md). */
  livenessEveryMs: 5_000,
  livenessTimeoutMs: 2_000,
  livenessBadMax: 3,
  livenessGoodMin: 2,
  /** Part of the interval by which probes are spread, so that they do not leave all at once. */
  livenessJitter: 0.2,
  /** Probes under way at once: a Worker may wait for the headers of six fetches at a time, and one is left for the slow copies. */
  probesAtOnceMax: 5,
  /** One exchange with a ledger must fit well inside a turn. */
  exchangeTimeoutMs: 800,
  /** A ledger that lets this many calls go unanswered is asked only every `homeCheckEveryMs`: calls to it must not pile up. */
  exchangesWaitingMax: 8,
  /** Cell ledgers hear of a new snapshot this much before the homes: the promise of one second must survive one silent ledger. */
  cellsHeadStartMs: 200,
  /** One read of the catalogue. A database that takes longer must not hold up exchanges and probes. */
  catalogueWaitMsMax: 2_000,
  /** One write or read of a slow copy. */
  copyWaitMsMax: 5_000,
  /** KV takes one write a second to the same key. */
  snapshotCopyEveryMs: 1_000,
  /** Key records copied in one step, and steps in one turn: a turn's calls stay far below the platform's 1,000. */
  credentialsPerStepMax: 50,
  copyStepsPerTurnMax: 4,
  /** Keys and tenants in the snapshot's list of changes; beyond it the oldest go, and are noticed when isolates' records age. */
  changedMax: 2_000,
  /** The time a key or tenant stays in the snapshot's list of changes: longer than isolates trust a record. */
  changedKeptMs: 120_000,
  /** Objects that only keep the snapshot are asked this often whether they still have it. */
  homeCheckEveryMs: 30_000,

  /** How long the admin API waits for the control loop's numbers. */
  statusWaitMsMax: 3_000,
  /** A delete without If-Match that others overtake is tried again this often. */
  unsafeDeletesMax: 3,
  /** Admin lists. */
  pageDefault: 50,
  pageMax: 200,
} as const
