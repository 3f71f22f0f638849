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

  /** What a ledger call may take beyond its round trip; without an answer by then the last known weights decide. */
  ledgerWaitMs: 30,
  /** No published round trip makes us wait longer than this: half the way round the world and back is 300 ms. */
  ledgerWaitMsMax: 400,
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
  /** Settled leases, and charges, carried by one call. */
  settledMax: 256,
  /** Reports that wait for a call to ride on leave by themselves after this time. */
  reportEveryMs: 250,
  /** Reports held for a ledger that does not answer; the oldest go, their leases end at their deadlines. */
  reportsHeldMax: 4_096,

  // ---- Routing. Sources: docs/design/figures.md and the simulations in test/sim. ----

  /** Numbers older than this are used for capacity alone: core, or the way to it, is gone. */
  loadsFreshMs: 30_000,
  /** A request is sent on when another cell promises to be this much sooner, its longer way counted. */
  spillMarginMs: 20,
  /** A session or prefix stays with its cell and endpoint until another promises to be this much sooner. */
  affinityMarginMs: 300,
  /** An endpoint takes affine requests up to this many times its fair share of what is in flight. */
  affinityLoadBound: 1.25,
  /** Endpoints looked at for an affine request before the usual pick. */
  affinityDepthMax: 3,
  /** Tokens of a prompt block, and characters that stand for them where nobody has counted tokens. */
  prefixBlockTokens: 64,
  prefixCharsPerToken: 4,
  /** Blocks of a prompt that are compared: 2,048 tokens, most of a shared beginning. */
  prefixBlocksMax: 32,
  /** Blocks remembered per endpoint, the oldest forgotten: about 31,000 as llm-d keeps, bounded by this object's memory. */
  prefixIndexBlocksMax: 31_250,
  /** Two endpoints whose predicted times are this close are equals: the less loaded wins. */
  predictedTieMs: 5,
  predictedTieShare: 0.1,
  /** Weight of one more completion in an endpoint's mean times. */
  speedSmoothing: 0.05,
  /** Core fills a cell to this part of its measured capacity before it turns to the next. */
  fillTarget: 0.92,
  /** Part of a blind draw that goes by capacity alone, so that no endpoint is starved of evidence. */
  weightFloor: 0.02,

  /** Requests that wait in one ledger. */
  queueMax: 1_000,
  /** How long they wait at most, by priority. */
  queueMsMax: { critical: 10_000, standard: 10_000, batch: 60_000 },
  /** A queued request whose isolate does not come to wait for it within this time has been given up. */
  queueClaimMs: 2_000,

  /** Leases ahead: how many one isolate may hold, how long, from which rate on, and the part of the free places they may take. */
  creditsMax: 16,
  creditMs: 500,
  creditMinPerS: 4,
  creditFreeShare: 0.25,

  /** Breaker: failures in a row, or the part of failures among at least so many in the window, open it. */
  breakerConsecutive: 5,
  breakerRatio: 0.2,
  breakerRequestsMin: 20,
  breakerBuckets: 10,
  breakerBucketMs: 1_000,
  /** Back-off of an open breaker, doubled each time it opens again, half of it by chance. */
  breakerBackoffMs: 5_000,
  breakerBackoffMsMax: 300_000,
  /** Good answers that close it. */
  breakerGoodMin: 2,
  /** What any failure is recorded as: an engine that fails fast must not look fast. */
  failureRecordedMs: 5_000,
  failureRecordedMsMax: 300_000,
  /** After it closed an endpoint gets this part of its places, growing to all of them. */
  slowStartMs: 30_000,
  slowStartShare: 0.1,
  /** No more than this part of a cell's capacity is taken out; beyond it everything is used: panic. */
  ejectionShareMax: 0.5,

  /** Second attempts within this window: this part of the requests, and a few more. */
  retryWindowMs: 10_000,
  retryShare: 0.1,
  retryFloor: 3,
  /** Second copies beside slow requests: part of the requests of the window, only below this use, and of calls this short. */
  hedgeShare: 0.02,
  hedgeUseMax: 0.7,
  hedgeTookMsMax: 2_000,
  /** Completions of a class that must have been seen before its 95th percentile means anything. */
  hedgeSamplesMin: 50,

  /** An endpoint that failed a request is left aside by the isolate that saw it for a time between these two. */
  reflexMsMin: 1_000,
  reflexMsMax: 3_000,

  /** Blocks of outcomes that a ledger keeps for a core that does not ask; older ones are summed into one. */
  blocksKeptMax: 60,
  /** What an explanation may take in a header; the log has it all. */
  explainBytesMax: 4_096,

  /** The control loop's turn. */
  turnMs: 1_000,
  /** Liveness: interval, patience, and how many in a row change the state (docs/design/figures.md). */
  livenessEveryMs: 5_000,
  livenessTimeoutMs: 2_000,
  livenessBadMax: 3,
  livenessGoodMin: 2,
  /** Part of the interval by which probes are spread, so that they do not leave all at once. */
  livenessJitter: 0.2,
  /** Engine metrics: interval, and the time for a page. */
  metricsEveryMs: 2_000,
  metricsTimeoutMs: 2_000,
  /** A page of metrics larger than this is not one. */
  metricsBytesMax: 2 * 1024 * 1024,
  /** An engine that has served nothing for so long is asked for one token, as often at most, and has this long to give it. */
  generationQuietMs: 30_000,
  generationTimeoutMs: 10_000,
  /** What the service says of an endpoint that it runs; its API allows few calls a second. */
  statusEveryMs: 30_000,
  statusTimeoutMs: 5_000,
  /** Probes under way at once in one ledger: a Worker may wait for the headers of six fetches at a time. */
  probesAtOnceMax: 5,
  /** Orders that wait for a place in one ledger; with the timeouts above they are through within a minute at worst. */
  probesQueuedMax: 512,
  /** An engine's numbers older than this are unknown, not zero and not full. */
  engineFreshMs: 5_000,
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
