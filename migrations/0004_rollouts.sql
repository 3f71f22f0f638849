CREATE TABLE `approvals` (
	`environment` text NOT NULL,
	`version` text NOT NULL,
	`approved_by` text NOT NULL,
	`evidence` text NOT NULL,
	`expires_at_ms` integer,
	`generation` integer NOT NULL,
	`created_at_ms` integer NOT NULL,
	`updated_at_ms` integer NOT NULL,
	PRIMARY KEY(`environment`, `version`),
	FOREIGN KEY (`version`) REFERENCES `versions`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `approvals_by_version` ON `approvals` (`version`);--> statement-breakpoint
CREATE TABLE `deployments` (
	`target` text NOT NULL,
	`version` text NOT NULL,
	`is_wanted` integer NOT NULL,
	`state` text NOT NULL,
	`detail` text NOT NULL,
	`endpoint` text,
	`attempts` integer NOT NULL,
	`next_at_ms` integer NOT NULL,
	`since_ms` integer NOT NULL,
	`generation` integer NOT NULL,
	`created_at_ms` integer NOT NULL,
	`updated_at_ms` integer NOT NULL,
	PRIMARY KEY(`target`, `version`),
	FOREIGN KEY (`target`) REFERENCES `targets`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`version`) REFERENCES `versions`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`endpoint`) REFERENCES `endpoints`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `deployments_by_version` ON `deployments` (`version`);--> statement-breakpoint
CREATE INDEX `deployments_by_endpoint` ON `deployments` (`endpoint`);--> statement-breakpoint
CREATE INDEX `deployments_unfinished` ON `deployments` (`next_at_ms`) WHERE state <> 'failed' AND NOT (is_wanted = 1 AND state = 'ready' AND endpoint IS NOT NULL) AND NOT (is_wanted = 0 AND state = 'gone' AND endpoint IS NULL);--> statement-breakpoint
CREATE TABLE `guards` (
	`ok` integer NOT NULL,
	CONSTRAINT "guard_ok" CHECK("guards"."ok" = 1)
);
--> statement-breakpoint
CREATE TABLE `load_runs` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`version` text NOT NULL,
	`environment` text NOT NULL,
	`requests_per_s` real NOT NULL,
	`samples` integer NOT NULL,
	`text` text NOT NULL,
	`actor` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	FOREIGN KEY (`version`) REFERENCES `versions`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `load_runs_id` ON `load_runs` (`id`);--> statement-breakpoint
CREATE INDEX `load_runs_of_version` ON `load_runs` (`version`,`environment`,`seq`);--> statement-breakpoint
CREATE TABLE `outbox` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`rollout` text NOT NULL,
	`kind` text NOT NULL,
	`payload` text NOT NULL,
	`at_ms` integer NOT NULL,
	`done_at_ms` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `outbox_id` ON `outbox` (`id`);--> statement-breakpoint
CREATE INDEX `outbox_undone` ON `outbox` (`seq`) WHERE done_at_ms IS NULL;--> statement-breakpoint
CREATE TABLE `reports` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`version` text NOT NULL,
	`environment` text NOT NULL,
	`set_name` text NOT NULL,
	`set_digest` text NOT NULL,
	`items` integer NOT NULL,
	`answered` integer NOT NULL,
	`scores` text NOT NULL,
	`text` text NOT NULL,
	`actor` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	FOREIGN KEY (`version`) REFERENCES `versions`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `reports_id` ON `reports` (`id`);--> statement-breakpoint
CREATE INDEX `reports_of_version` ON `reports` (`version`,`seq`);--> statement-breakpoint
CREATE TABLE `rollout_transitions` (
	`rollout` text NOT NULL,
	`generation` integer NOT NULL,
	`at_ms` integer NOT NULL,
	`actor` text NOT NULL,
	`input` text NOT NULL,
	`from` text NOT NULL,
	`to` text NOT NULL,
	`reason` text NOT NULL,
	`detail` text NOT NULL,
	PRIMARY KEY(`rollout`, `generation`)
);
--> statement-breakpoint
CREATE TABLE `rollouts` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`environment` text NOT NULL,
	`model` text NOT NULL,
	`from_version` text NOT NULL,
	`to_version` text NOT NULL,
	`phase` text NOT NULL,
	`is_live` integer NOT NULL,
	`is_open` integer NOT NULL,
	`record` text NOT NULL,
	`generation` integer NOT NULL,
	`created_at_ms` integer NOT NULL,
	`updated_at_ms` integer NOT NULL,
	FOREIGN KEY (`model`) REFERENCES `models`(`name`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`from_version`) REFERENCES `versions`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`to_version`) REFERENCES `versions`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `rollouts_id` ON `rollouts` (`id`);--> statement-breakpoint
CREATE UNIQUE INDEX `rollouts_one_live` ON `rollouts` (`environment`,`model`) WHERE is_live = 1;--> statement-breakpoint
CREATE INDEX `rollouts_of_alias` ON `rollouts` (`environment`,`model`,`seq`);--> statement-breakpoint
CREATE INDEX `rollouts_open` ON `rollouts` (`is_open`);--> statement-breakpoint
CREATE INDEX `rollouts_by_from` ON `rollouts` (`from_version`);--> statement-breakpoint
CREATE INDEX `rollouts_by_to` ON `rollouts` (`to_version`);--> statement-breakpoint
CREATE TABLE `targets` (
	`id` text PRIMARY KEY NOT NULL,
	`model` text NOT NULL,
	`region` text NOT NULL,
	`deployer` text NOT NULL,
	`kind` text NOT NULL,
	`url` text NOT NULL,
	`slots` integer NOT NULL,
	`operations` text,
	`options` text DEFAULT '{}' NOT NULL,
	`deploy` text DEFAULT '{}' NOT NULL,
	`credential` text,
	`has_credential` integer GENERATED ALWAYS AS (credential IS NOT NULL) VIRTUAL,
	`generation` integer NOT NULL,
	`created_at_ms` integer NOT NULL,
	`updated_at_ms` integer NOT NULL,
	FOREIGN KEY (`model`) REFERENCES `models`(`name`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`region`) REFERENCES `regions`(`name`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "targets_slots" CHECK("targets"."slots" > 0)
);
--> statement-breakpoint
CREATE INDEX `targets_by_model` ON `targets` (`model`);--> statement-breakpoint
CREATE INDEX `targets_by_region` ON `targets` (`region`);--> statement-breakpoint
CREATE TABLE `verdicts` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`rollout` text,
	`environment` text NOT NULL,
	`model` text NOT NULL,
	`version` text NOT NULL,
	`reference` text,
	`gate` text NOT NULL,
	`mode` text NOT NULL,
	`answer` text NOT NULL,
	`step` integer,
	`checks` text NOT NULL,
	`window_from_ms` integer,
	`window_until_ms` integer,
	`at_ms` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `verdicts_id` ON `verdicts` (`id`);--> statement-breakpoint
CREATE INDEX `verdicts_of_rollout` ON `verdicts` (`rollout`,`seq`);--> statement-breakpoint
CREATE INDEX `verdicts_of_version` ON `verdicts` (`version`,`seq`);--> statement-breakpoint
CREATE TABLE `webhook_deliveries` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`webhook` text NOT NULL,
	`type` text NOT NULL,
	`payload` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	`attempts` integer NOT NULL,
	`next_at_ms` integer,
	`ended_at_ms` integer,
	`ok` integer,
	`last_status` integer,
	`last_error` text
);
--> statement-breakpoint
CREATE UNIQUE INDEX `webhook_deliveries_id` ON `webhook_deliveries` (`id`);--> statement-breakpoint
CREATE INDEX `webhook_deliveries_due` ON `webhook_deliveries` (`next_at_ms`) WHERE ended_at_ms IS NULL;--> statement-breakpoint
CREATE INDEX `webhook_deliveries_of_webhook` ON `webhook_deliveries` (`webhook`,`seq`);--> statement-breakpoint
CREATE TABLE `webhooks` (
	`id` text PRIMARY KEY NOT NULL,
	`url` text NOT NULL,
	`format` text NOT NULL,
	`events` text,
	`disabled` integer NOT NULL,
	`secret` text NOT NULL,
	`generation` integer NOT NULL,
	`created_at_ms` integer NOT NULL,
	`updated_at_ms` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `aliases` ADD `shadow_bp` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `aliases` ADD `rollout` text;--> statement-breakpoint
ALTER TABLE `aliases` ADD `rollout_generation` integer;--> statement-breakpoint
ALTER TABLE `models` ADD `ttft_p95_ms_max` integer;--> statement-breakpoint
ALTER TABLE `models` ADD `tpot_p95_ms_max` integer;--> statement-breakpoint
ALTER TABLE `models` ADD `accuracy_target_bp` integer DEFAULT 9900 NOT NULL;--> statement-breakpoint
ALTER TABLE `models` ADD `operating_per_s` real;--> statement-breakpoint
ALTER TABLE `versions` ADD `bits` real;--> statement-breakpoint
ALTER TABLE `versions` ADD `parent` text REFERENCES versions(id);--> statement-breakpoint
ALTER TABLE `versions` ADD `calibration` text;--> statement-breakpoint
ALTER TABLE `versions` ADD `licence` text;--> statement-breakpoint
ALTER TABLE `versions` ADD `artifact` text;--> statement-breakpoint
CREATE INDEX `versions_by_parent` ON `versions` (`parent`);--> statement-breakpoint
CREATE TRIGGER `rollouts_no_delete` BEFORE DELETE ON `rollouts` BEGIN SELECT RAISE(ABORT, 'rollouts are kept for ever'); END;
--> statement-breakpoint
CREATE TRIGGER `rollout_transitions_no_update` BEFORE UPDATE ON `rollout_transitions` BEGIN SELECT RAISE(ABORT, 'transitions are append-only'); END;
--> statement-breakpoint
CREATE TRIGGER `rollout_transitions_no_delete` BEFORE DELETE ON `rollout_transitions` BEGIN SELECT RAISE(ABORT, 'transitions are append-only'); END;
--> statement-breakpoint
CREATE TRIGGER `verdicts_no_update` BEFORE UPDATE ON `verdicts` BEGIN SELECT RAISE(ABORT, 'verdicts are append-only'); END;
--> statement-breakpoint
CREATE TRIGGER `verdicts_no_delete` BEFORE DELETE ON `verdicts` BEGIN SELECT RAISE(ABORT, 'verdicts are append-only'); END;
--> statement-breakpoint
CREATE TRIGGER `reports_no_update` BEFORE UPDATE ON `reports` BEGIN SELECT RAISE(ABORT, 'reports are append-only'); END;
--> statement-breakpoint
CREATE TRIGGER `reports_no_delete` BEFORE DELETE ON `reports` BEGIN SELECT RAISE(ABORT, 'reports are append-only'); END;
--> statement-breakpoint
CREATE TRIGGER `load_runs_no_update` BEFORE UPDATE ON `load_runs` BEGIN SELECT RAISE(ABORT, 'load runs are append-only'); END;
--> statement-breakpoint
CREATE TRIGGER `load_runs_no_delete` BEFORE DELETE ON `load_runs` BEGIN SELECT RAISE(ABORT, 'load runs are append-only'); END;
