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
  /** A snapshot that nobody has confirmed for so long is checked with the origin's home before a request is served by it: half of the promised two seconds. */
  snapshotTrustMs: 1_000,
  /** What that check may take: the home is in the same metropolis. Without an answer the request goes on, and the next check waits as long again. */
  snapshotCheckMsMax: 50,
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
  /** A report without an answer after this time counts as lost and is told again. A request's work may go on for 30 s after its client has gone. */
  reportWaitMsMax: 10_000,
  /** Another request's promise to send the reports is believed this long: the work of a request may be ended by the platform. */
  flushTrustMs: 1_000,
  /** Ledgers that one isolate talks to and has reports for; an isolate serves the models of its callers from a few regions. */
  ledgersHeldMax: 1_000,
  /** Live leases of one cell that an isolate remembers, to charge them again after the object's restart. */
  liveHeldMax: 4_096,
  /** It tells their ends again as well, as far as they were told so shortly before: an object keeps its leases once a second. */
  toldAgainMs: 2_000,
  /** The latest of these, more than one isolate ends in that time. */
  toldHeldMax: 2_048,
  /** Models whose loads one isolate remembers: a few kilobytes each. */
  loadsHeldMax: 1_000,

  // ---- Routing. Sources: docs/design/figures.md and the simulations in test/sim. ----

  /** Waits and weights older than this are not believed: core, or the way to it, is gone. Rows of fractions outlast it, for demand moves slowly. */
  loadsFreshMs: 30_000,
  /** A request is sent on when another cell promises to be this much sooner, its longer way counted. */
  spillMarginMs: 5,
  /** A full cell whose queue is shorter counts as this part of its slots free: little, for its queue is known less well than its free places. */
  spillFullShare: 0.02,
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
  /** Blocks of all endpoints of a cell together: at about 50 bytes each a fifth of an isolate's memory. */
  prefixIndexTotalMax: 500_000,
  /** Two endpoints whose predicted times are this close are equals: the less loaded wins. */
  predictedTieMs: 5,
  predictedTieShare: 0.1,
  /** Completions count in an endpoint's mean times less and less, to a third after this time: a minute's worth all in all. */
  speedFadeMs: 30_000,
  /** Weight of one more completion in what failures add, in how prompts and first tokens go together, and in how long leases are held. */
  speedSmoothing: 0.05,
  /** After so long without a completion an endpoint's times are taken to be those of its like: one bad moment must not starve it for ever. */
  speedStaleMs: 30_000,
  /** Core fills a cell to this part of its measured capacity before it turns to the next. */
  fillTarget: 0.9,
  /** Part of a blind draw that goes by capacity alone, so that no endpoint is starved of evidence. */
  weightFloor: 0.02,
  /** Above this part of a station's servers its waiting time has no bound; the wait at this part stands for all that is above. */
  waitLoadMax: 0.995,

  /** Requests that wait in one ledger. */
  queueMax: 1_000,
  /** How long they wait at most, by priority. */
  queueMsMax: { critical: 10_000, standard: 10_000, batch: 60_000 },
  /** A queued request whose isolate does not come to wait for it within this time has been given up. */
  queueClaimMs: 2_000,
  /** An isolate waits this much longer than the queue keeps a request, so that the ledger has the last word. */
  queueAnswerMs: 1_000,

  /** Leases ahead: how many one isolate may hold, how long, from which rate on, and the part of the free places they may take. */
  creditsMax: 16,
  creditMs: 500,
  creditMinPerS: 4,
  creditFreeShare: 0.25,
  /** Kinds of requests (cell, version, operation, residency) that one isolate counts and holds credits for. */
  creditKindsMax: 256,

  /** Breaker: failures in a row, or the part of failures among at least so many in the window, open it. */
  breakerConsecutive: 5,
  breakerRatio: 0.2,
  breakerRequestsMin: 20,
  breakerBuckets: 10,
  breakerBucketMs: 1_000,
  /** Back-off of an open breaker, doubled each time it opens again, half of it by chance. */
  breakerBackoffMs: 5_000,
  breakerBackoffMsMax: 300_000,
  /** Closed for so long, its next back-off is the first again. */
  breakerForgetMs: 300_000,
  /** Good answers that close it. */
  breakerGoodMin: 2,
  /** What any failure is recorded as: an engine that fails fast must not look fast. */
  failureRecordedMs: 5_000,
  /** What failures add to an endpoint's service time is forgotten to a third in this time, as the breaker forgets them in its window. */
  failureForgetMs: 10_000,
  failureRecordedMsMax: 300_000,
  /** After it closed an endpoint gets this part of its places, growing to all of them. */
  slowStartMs: 30_000,
  slowStartShare: 0.1,
  /** A soft failure leaves an endpoint this part of its places (TCP's answer to congestion, gentler); they come back with time, and by a step with each good answer. */
  throttleShare: 0.7,
  throttleMs: 20_000,
  throttleGoodStep: 0.005,
  /** No more than this part of a cell's capacity is taken out; beyond it everything is used: panic. */
  ejectionShareMax: 0.5,

  /** Second attempts within this window: this part of the requests, and a few more. */
  retryWindowMs: 10_000,
  retryShare: 0.1,
  retryFloor: 3,
  budgetBucketMs: 1_000,
  /** Second copies beside slow requests: part of the requests of the window, only below this use, and of calls this short. */
  hedgeShare: 0.02,
  hedgeUseMax: 0.7,
  hedgeTookMsMax: 2_000,
  /** Completions of a class that must have been seen before its 95th percentile means anything. */
  hedgeSamplesMin: 50,
  /** Completions of a class that are kept for it: the last minutes of a busy class, 4 KB. */
  hedgeSamplesMax: 512,
  hedgeQuantile: 0.95,
  /** Below so many requests in the window one second copy would already be more than its part. */
  hedgeFirstsMin: 50,

  /** An endpoint that failed a request is left aside by the isolate that saw it for a time between these two. */
  reflexMsMin: 1_000,
  reflexMsMax: 3_000,
  /** Endpoints left aside by one isolate at once. */
  reflexesHeldMax: 1_000,

  /** Changes of the snapshot that a ledger can still tell one by one; whoever is further behind gets the whole. */
  deltasKeptMax: 16,
  /** Blocks of outcomes that a ledger keeps for a core that does not ask; older ones are summed into one. */
  blocksKeptMax: 60,
  /** Endpoints, origins and ways told apart in a block; a cell has fewer endpoints, the world nine origins, and there are five ways. */
  blockEndpointsMax: 1_000,
  blockOriginsMax: 32,
  blockWaysMax: 32,
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
  /** Times and rates on it are of the last 15 to 30 s: in two seconds hardly anything has ended. */
  metricsWindowMs: 15_000,
  /** A page of metrics larger than this is not one. */
  metricsBytesMax: 2 * 1024 * 1024,
  /** Nor is one with more samples: vLLM with eight ranks has about 6,000, and a page of the size above no more than these at 100 bytes each. */
  metricsSamplesMax: 20_000,
  /** What an engine tells beyond these is a fault of its page and not a load: requests or events a second, a share, a time of one day. */
  engineCountMax: 10_000_000,
  engineShareMax: 1.5,
  engineTimeMsMax: 86_400_000,
  /** Names of adapters taken from one page, and characters of one. */
  engineLorasMax: 256,
  engineLoraCharsMax: 128,
  /** An engine that has served nothing for so long is asked for one token, as often at most, and has this long to give it. */
  generationQuietMs: 30_000,
  generationTimeoutMs: 10_000,
  /** What the service says of an endpoint that it runs; its API allows few calls a second. */
  statusEveryMs: 30_000,
  statusTimeoutMs: 5_000,
  /** What it said holds for so long; after that a success of the endpoint is worth more than the old word. */
  serviceToldMs: 120_000,
  /** Its answer is a few KB: ten variants at most, with their images. */
  statusBytesMax: 256 * 1024,
  /** Probes under way at once in one ledger: a Worker may wait for the headers of six fetches at a time. */
  probesAtOnceMax: 5,
  /** Of these, at most so many that will last, so that the others always find a place: questions for a token, and what took so long before. */
  slowProbesAtOnceMax: 3,
  generationsAtOnceMax: 2,
  slowProbeMs: 500,
  /** Orders that wait for a place in one ledger, and how long: then they go back undone, and core orders what is most overdue anew. */
  probesQueuedMax: 512,
  probeWaitMsMax: 1_500,
  /** A ledger that answers has this long beyond a probe's timeout to bring its result: the wait for a place and one turn. */
  probeSlackMs: 3_000,
  /** What a probe's result says in words. */
  probeDetailCharsMax: 200,
  /** The answer to a question for one token; as an embedding of 16,000 numbers it has 350 KB. */
  generationBytesMax: 1024 * 1024,
  /** An engine's numbers older than this are unknown, not zero and not full. */
  engineFreshMs: 5_000,

  // ---- The judge. Sources: docs/design/figures.md. ----

  /** Outcomes of requests count for this long; a good answer outweighs failing health checks a little longer. */
  trafficWindowMs: 10_000,
  trafficProvesMs: 15_000,
  /** Generation probes that fail in a row take an endpoint out; one that timed out does when nothing succeeded for so long, which is generationQuietMs and its timeout. */
  generationBadMax: 2,
  wedgedMs: 40_000,
  /** Metrics that used to come and are missing for so long make a quiet endpoint doubtful. */
  metricsLostMs: 30_000,
  /** A doubtful endpoint stays so for this long at least, and gets this part of its weight. */
  degradedMsMin: 10_000,
  degradedFactor: 0.5,
  /** An endpoint that failed and has no open breaker is tried again after this time; when nobody comes to try it, it is let in after as long. */
  trialMs: 30_000,
  /** Of endpoints whose ledger is silent for longer than this nothing new is known: their state holds. */
  ledgerSilentMs: 10_000,

  // ---- What core measures and publishes each second. ----

  /** How fast demand and rates follow what blocks tell: they forget to a third in this time. */
  demandMs: 20_000,
  /** Mean service of a model of which none was measured: a plausible generation. */
  serviceUnmeasuredMs: 1_000,
  /** Changes of health that wait for a database that is away; a whole fleet's, a few times over. */
  eventsWaitingMax: 5_000,
  /** Weight of one more second's mean in a measured round trip. */
  roundTripSmoothing: 0.2,
  /** Weights are used for about this long: a turn, and the way to isolates that ask each second. */
  weightsUsedMs: 2_000,
  /** Unchanged loads are told again after this time, well before isolates take them for too old. */
  loadsRefreshMs: 5_000,
  /** A cell's own numbers are used for this long after its ledger last spoke. */
  cellLoadKeptMs: 10_000,

  /** What a ledger tells beyond these is a fault of the telling: of anything in one block, a duration of ten days, probes in one answer. */
  toldCountMax: 10_000_000,
  toldMsMax: 864_000_000,
  probesToldMax: 1_024,
  /** Nor does a ledger's call take so long: isolates give it up before. */
  roundTripToldMsMax: 10_000,
  /** No generation is above this, half of what a number can count: from a higher one, reported by mistake, there would be no way on. */
  generationMax: 2 ** 52,
  /** One exchange with a ledger must fit well inside a turn. */
  exchangeTimeoutMs: 800,
  /** A ledger that lets this many calls go unanswered is asked only every `homeCheckEveryMs`: calls to it must not pile up. */
  exchangesWaitingMax: 8,
  /** Cell ledgers hear of a new snapshot this much before the homes: the promise of one second must survive one silent ledger. */
  cellsHeadStartMs: 200,
  /** One read of the catalogue. A database that takes longer must not hold up exchanges and probes. */
  catalogueWaitMsMax: 2_000,
  /** After so many without an answer it is read only this often: reads must not pile up, nor each turn wait for one. */
  readsSilentMax: 2,
  readAgainMs: 5_000,
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

  /** A value in the loop's storage has at most 2 MB, and a character up to two bytes. */
  storedPartCharsMax: 500_000,

  /** How long the admin API waits for the control loop's numbers. */
  statusWaitMsMax: 3_000,
  /** A delete without If-Match that others overtake is tried again this often. */
  unsafeDeletesMax: 3,
  /** An operator's reason for a write: a sentence or two, in the audit log for ever. */
  reasonCharsMax: 500,
  /** A window longer than this is no maintenance: drain or disable the endpoint. */
  maintenanceMsMax: 30 * 24 * 3_600_000,
  /** The edge obeys a write within this time (docs/design/overview.md): before it has passed nothing is known to be drained. */
  obeyedMs: 2_000,
  /** Events are kept for a quarter; each append takes away so many of the older ones at most, for the loop must not wait for a sweep. */
  eventsKeptMs: 90 * 24 * 3_600_000,
  eventsPurgedMax: 1_000,
  /** Events of one statement: a whole region's endpoints change at once, and a bound text has at most 2 MB. */
  eventsPerStatementMax: 1_000,
  /** Admin lists. */
  pageDefault: 50,
  pageMax: 200,

  // ---- Gates. ----

  /** A report is one text in D1, which takes 2 MB. Items: those of the largest public set in use, 24,576, at some 50 bytes each. */
  reportCharsMax: 1_900_000,
  reportItemsMax: 25_000,
  reportItemIdCharsMax: 64,
  reportNameCharsMax: 200,
  /** Sets are scored by one measure, or by the three or four of a family such as ROUGE. */
  reportMetricsMax: 8,
  /** Percent, or a perplexity of a broken model; with six decimals all sums stay whole numbers that a double can hold. */
  reportScoreMax: 10_000,
  /** More than any model generates for one item. */
  reportTokensMax: 1_000_000,

  /** MLPerf's rule for variants: 99 % of the reference's score by default, in 1/10,000, and a generated length within a tenth of its. */
  accuracyTargetBpDefault: 9_900,
  lengthBpMin: 9_000,
  lengthBpMax: 11_000,
  /** Of fewer items one alone is more than the one percent that may be lost: the rule would judge by chance. */
  accuracyItemsMin: 100,
  /** Intervals of gates, two-sided, and the normal law's quantile that goes with them. */
  gateConfidence: 0.95,
  gateConfidenceZ: 1.959964,
  /** The percentile that load is judged by. Of fewer requests than this it rests on fewer than ten. */
  loadPercentile: 0.95,
  loadRequestsMin: 200,
  /** Environments are alike when this percentile differs by no more than a tenth, in 1/10,000. */
  parityBpDefault: 1_000,
  /** A run is one text in D1 like a report; a minute at three hundred a second. */
  loadSamplesMax: 18_000,
  /** A run offered its load when what it sent differs from that by no more than this part, in 1/10,000: Poisson arrivals of 200 requests stay within 14 % in 95 runs of 100. */
  loadOfferedBp: 1_500,
  /** A generator that sends more than one percent of the requests this much late has measured itself. */
  loadLateMsMax: 50,
  loadLateShareMax: 0.01,
  /** A signed override names a version for as long as an evaluation takes; a day at most. */
  overrideMsDefault: 3_600_000,
  overrideMsMax: 24 * 3_600_000,
  /** Requests an endpoint must have answered before traffic: the first ones of an engine pay for what it compiles and allocates. */
  warmRequestsMin: 3,

  // ---- Rollouts: plan ----

  /** A rollout's steps: a weight each percent would be slower than any bake needs, and a plan must fit a page. */
  rolloutStepsMax: 50,
  /** One bake, or one time of shadow copies: shorter than a turn nothing is measured, and a day has seen every hour. */
  rolloutBakeMsMin: 1_000,
  rolloutBakeMsMax: 24 * 3_600_000,
  /** Canary requests of a weight before it is judged: with none bad of a hundred, fewer than 3 % are bad (rule of three). */
  rolloutRequestsDefault: 100,
  rolloutRequestsMax: 1_000_000,
  /** Of a proof: at no bad answers 1,843 let nine of ten equally good versions pass (core/rollout/confidence.ts). */
  rolloutProofRequests: 2_000,
  /** An analysis waits for its gates this long: a short evaluation set; at most a long one. */
  rolloutAnalysisMsDefault: 3_600_000,
  rolloutAnalysisMsMax: 24 * 3_600_000,
  rolloutGatesMax: 20,
  /** A pause that ends by itself ends within two weeks: a holiday between. */
  rolloutPauseAheadMsMax: 14 * 24 * 3_600_000,
  /** A weight is reached when this part of traffic, in 1/10,000, is by its generation, and the canary has served so many. */
  rolloutTrafficBp: 9_900,
  rolloutFirstRequests: 30,
  /** The canary's spare capacity is at least so many times the traffic it is given: a region's bursts, and its arrivals' spread. */
  rolloutSpareFactor: 1.2,
  /** Gates before traffic are asked so often while a rollout waits for them. */
  gatesAskedEveryMs: 2_000,
  /** Places of one version: a page of deployments. */
  deploymentsOfVersionMax: 1_000,
  /** A change is stored within this time, or found again next turn: the loop waits for nobody longer than for a read. */
  rolloutCommitMsMax: 2_000,
  /** Failures in mode pause that are remembered as told: gates times metrics. */
  toldFailuresMax: 32,
  /** After success the old version keeps all its capacity this long: so long the way back is instant. */
  rolloutStableHoldMs: 30 * 60_000,
  /** Failures to measure, one after another, before a person is asked. */
  rolloutUnmeasuredMax: 5,
  /** The way back to one of so many versions that were stable before skips the steps. */
  rolloutRollbackVersions: 3,
  /** Deadlines of the phases in which nothing moves: a draft is written in a month, approved in a week, started in another. */
  rolloutDraftMsMax: 30 * 24 * 3_600_000,
  rolloutApprovalMsMax: 7 * 24 * 3_600_000,
  rolloutApprovedMsMax: 7 * 24 * 3_600_000,
  /** Large weights are fetched and loaded in tens of minutes. */
  rolloutWarmingMsMax: 2 * 3_600_000,
  /** Edge obeys in two seconds; the first requests of a small weight take longer, so a step has its bake's time if that is more. */
  rolloutShiftingMsMin: 600_000,
  /** A bake's end and a verdict are noticed within a turn or two, unless core is down. */
  rolloutBakingGraceMs: 600_000,
  rolloutJudgingMsMax: 600_000,
  /** From Friday's evening to Monday's. */
  rolloutPausedMsMax: 72 * 3_600_000,
  rolloutPromotingMsMax: 600_000,
  /** The longest request has ended: limits.deadlineMsMax, and a little. */
  rolloutAbortingMsMax: 3_600_000 + 600_000,

  // ---- Rollouts. Figures: test/sim/rollout-statistics.test.ts. ----

  /** A block of evidence: requests of one region that arrived within this time. */
  rolloutBlockMs: 10_000,
  /**
   * What became of a request is certain at its end, or this long after its arrival: what has not failed by then counts as good, in every arm.
   * A slot whose requests are not all judged so much and a little later (reports on their way) is taken as it is.
   */
  trialJudgeMs: 30_000,
  trialSlackMs: 5_000,
  /** A report is told within a quarter of a second, its block within a turn, and clocks differ by a little. */
  trialReportMs: 2_500,
  /** What stable usually does is learnt from this time. */
  trialUsualMs: 3_600_000,
  /** First tokens of stable from which its 95th percentile is known well enough: of fewer it rests on fewer than five. */
  judgeUsualMin: 100,
  /** Identities of tallies that an isolate holds for one ledger, and that one block of a ledger has: aliases x versions x slots of a minute. */
  trialsHeldMax: 256,
  /** Traffic is by the alias's newest write when so much of what was reported within this time is. */
  trialTrafficMs: 5_000,
  /** Shadow copies of one isolate that run at once, and the largest body that is copied: they are the first to give way. */
  shadowsMax: 8,
  shadowBodyBytesMax: 262_144,
  /** Copies are sent only while this part of the canary's places is free at its ledger. */
  shadowFreeShareMin: 0.3,

  /** A block told later than this is left out, and its region's newest blocks are remembered as long, so that none counts twice. */
  rolloutBlockLateMsMax: 600_000,
  /** Sound canaries that may be aborted by evidence, over all metrics and a whole rollout, however often one looks. */
  rolloutAlpha: 0.05,
  /**
   * Of that the part of hard errors, the gravest and rarest; the other metrics share the rest. Of canaries with twice 1 % of errors, six
   * metrics judged and 150 requests a minute, 96 of 100 are found within 20 min; 93 if all six had equal parts.
   */
  rolloutAlphaHardErrorShare: 0.6,
  /** Stable's rate before anything was seen, as so many bad ones of so many requests: Beta(1, 99). */
  rolloutPriorBad: 1,
  rolloutPriorRequests: 100,
  /**
   * A canary is first supposed to be twice as bad, believed as much as if stable's rate had promised this many bad answers: predictions
   * from fewer follow chance. With two tenths of one (20 requests at 1 %) it were 92 of the 100 above.
   */
  rolloutHarmFactor: 2,
  rolloutHarmBad: 10,
  /** What predictions rest on counts half after this time: a canary that goes bad after two hours is found in minutes. */
  rolloutTallyHalfLifeMs: 1_800_000,
  /** Power to which evidence is raised: below one a brake for requests that go bad in bursts, bought with time. As only first attempts count, none is needed. */
  rolloutEvidenceGamma: 1,
  /** Part of the bet that a bad version is bad everywhere; the rest is laid on single regions. */
  rolloutEverywhereShare: 0.75,

  /** Fast guard: canary requests, the quantile of the normal law (99.9 %), and what hard errors must be above: a part, and a multiple of stable's. */
  guardRequestsMin: 30,
  guardZ: 3.0902,
  guardRateMin: 0.05,
  guardRatioMin: 3,
  /** It sees the last ten minutes, minute by minute. */
  guardSliceMs: 60_000,
  guardSlicesMax: 10,

  /** A version is promoted when its rate of bad answers is worse by less than this, absolute or as a part of stable's, whichever is more. */
  promotionMargin: 0.005,
  promotionMarginShare: 0.25,
  /** Versions beyond the margin that may be promoted, however often one looks. */
  promotionAlpha: 0.05,
  /** A plan is made for nine of ten versions as good as stable to be promoted: this quantile of the normal. */
  promotionPowerZ: 1.2816,
  /** Canary requests below which no metric is judged at the end of a bake, whatever the step asks for. */
  bakeMetricRequestsMin: 30,

  // ---- Tallies of trials ----

  /** Names in a tally: an environment and a model's name of 256 characters, and some room. What is longer is no name of ours. */
  trialNameCharsMax: 320,

  // ---- Deployers ----

  /** Rows of the outbox that one pass takes: a rollout writes a handful in its life. */
  deployEffectsMax: 100,
  /** Versions being brought or taken away at once: a Worker may wait for the headers of six fetches at a time, and the loop wants some. */
  deploysAtOnceMax: 4,
  /** One call to a deployer, all its requests together. A load that takes longer goes on at the server, and is asked for. */
  deployCallMsMax: 10_000,
  /** Tries that failed, back-off between them from the first to the last number, doubled each time: some 25 minutes in all. */
  deployAttemptsMax: 12,
  deployBackoffMs: 2_000,
  deployBackoffMsMax: 300_000,
  /** How often a load is asked after: at first, and at most; between them a quarter of the time that it has taken, for each answer is written. */
  deployPollMs: 2_000,
  deployPollMsMax: 30_000,
  /** Large weights are fetched and loaded in tens of minutes; a canary's warming has two hours (rolloutWarmingMsMax). */
  deployLoadingMsMax: 2 * 3_600_000,
  /** Whoever was told by a webhook is told again after this, for he may have lost it: a person reads it twice at worst. */
  deployToldAgainMs: 600_000,
  /**
   * Between an endpoint's row going and its version being unloaded: the slowest isolate has heard of it within a minute. Rollouts undeploy
   * what is drained, and servers let running requests end.
   */
  undeployGraceMs: 60_000,
  /** What a deployer says in words, and what is read of a server's answer: an index of a thousand models has 100 KB. */
  deployDetailCharsMax: 500,
  deployAnswerBytesMax: 1024 * 1024,
  /** A version that must be warm is asked for a token each turn: its first answers are what is to be paid for before traffic. */
  warmEveryMs: 1_000,

  // ---- Admin API of new versions ----

  /** A plan or command reads a dozen rows and writes one batch, and waits for the turn before it: a write of the database has five seconds. */
  commandWaitMsMax: 15_000,
  /** Targets that one call names. */
  targetsNamedMax: 64,
  /** A report of a deployment is a state and a sentence. */
  hookBodyBytesMax: 16 * 1024,
  /** An override that holds for less is over before it is used. */
  overrideMsMin: 1_000,

  // ---- Webhooks. Schedule and status codes: Standard Webhooks 1.0.0, operational considerations. ----

  /** A receiver notes an event down and answers; whoever takes longer than this does the work before he says that he has it. */
  deliveryMsMax: 10_000,
  /** Waits between one attempt and the next: ten attempts within three days and a few hours. */
  deliveryDelaysMs: [5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 50_400_000, 72_000_000, 86_400_000],
  /** Each wait is longer by up to this part, so that what failed together does not come again together. */
  deliveryJitterShare: 0.1,
  /** A receiver may ask for more time than the schedule gives, but not for more than its longest wait. */
  deliveryRetryAfterMsMax: 86_400_000,
  /** A Worker waits for the headers of six fetches at a time, and the loop needs some itself. */
  deliveriesAtOnceMax: 4,
  /** Deliveries to one webhook in one round, one after another: Slack takes about one a second and bears a short burst. */
  deliveriesInRowMax: 4,
  /** Due deliveries that are looked at in one round: a webhook that is away may have many, and others must be found behind them. */
  deliveriesDueMax: 256,
  /** Changes that become events in one round; a rollout makes a few a minute. */
  outboxToldMax: 20,
  /** One read or write of the database; without an answer the round ends, and the next one meets the same work. */
  notifyStoreMsMax: 5_000,
  /** Verdicts that are looked through for those that stopped a rollout: all gates of several looks. */
  verdictsToldMax: 100,
  /** Of an answer that is no success this much is read, and this much kept for operators. */
  deliveryAnswerBytesMax: 1_024,
  deliveryErrorCharsMax: 300,
  /** How far clocks of sender and receiver may be apart, with the way between them. */
  webhookToleranceMs: 300_000,
  /** Slack refuses a whole message when the text of one block is longer, or when it has more than fifty blocks. */
  slackTextCharsMax: 3_000,
  slackVerdictsMax: 10,

  // ---- Answers as trials, and copies ----

  /** Of a text that must be JSON, and of the arguments of calls, so much is kept to be read at the end; of what is longer nothing is said. */
  senseTextCharsMax: 64 * 1024,
  /** Keys that a schema demands, looked for in an answer. */
  senseKeysMax: 256,
  /**
   * A copy, and the answer before it, last at most so long: the platform lets work go on for 30 s after the response, and what became of it has
   * to be told within that time as well.
   */
  shadowMsMax: 25_000,

  // ---- Stores of new versions ----

  /** Rollouts that one turn looks at, live ones first: at most one is live for each alias, and drafts are made by people. */
  rolloutsOpenMax: 1_000,
  /** What was carried out, and deliveries that have ended, are of no use but to look at: a month, as long as a draft may wait. */
  rolloutRowsKeptMs: 30 * 24 * 3_600_000,
  /** Rows looked at for this with each write: far more than a write adds. */
  rolloutRowsPurgedMax: 100,
  /** Deliveries of one statement, in characters of JSON: a bound text has at most 2 MB, and a character at most 3 bytes. */
  deliveriesPieceCharsMax: 500_000,
} as const
