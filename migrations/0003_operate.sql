CREATE TABLE `endpoint_events` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at_ms` integer NOT NULL,
	`endpoint` text NOT NULL,
	`cell` text NOT NULL,
	`from` text NOT NULL,
	`to` text NOT NULL,
	`metric` text,
	`value` real,
	`threshold` real,
	`reason` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `endpoint_events_by_endpoint` ON `endpoint_events` (`endpoint`,`seq`);--> statement-breakpoint
CREATE INDEX `endpoint_events_by_time` ON `endpoint_events` (`at_ms`);--> statement-breakpoint
CREATE UNIQUE INDEX `endpoint_events_once` ON `endpoint_events` (`endpoint`,`at_ms`,`to`);--> statement-breakpoint
ALTER TABLE `api_keys` ADD `scopes` text DEFAULT '[]' NOT NULL;--> statement-breakpoint
ALTER TABLE `audit_log` ADD `reason` text;--> statement-breakpoint
ALTER TABLE `endpoints` ADD `maintenance` text;--> statement-breakpoint
ALTER TABLE `models` ADD `strategy` text DEFAULT 'least-latency' NOT NULL;--> statement-breakpoint
ALTER TABLE `models` ADD `affinity` text DEFAULT 'none' NOT NULL;--> statement-breakpoint
ALTER TABLE `models` ADD `hedging` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `tenants` ADD `residency` text;--> statement-breakpoint
CREATE TRIGGER `endpoint_events_no_update` BEFORE UPDATE ON `endpoint_events` BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
--> statement-breakpoint
CREATE TRIGGER `endpoint_events_kept` BEFORE DELETE ON `endpoint_events` WHEN OLD.at_ms >= (unixepoch() - 7776000) * 1000 BEGIN SELECT RAISE(ABORT, 'events are append-only, and kept for 90 days'); END;
