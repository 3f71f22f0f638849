CREATE TABLE `aliases` (
	`environment` text NOT NULL,
	`model` text NOT NULL,
	`stable` text NOT NULL,
	`canary` text,
	`weight_bp` integer NOT NULL,
	`salt` text NOT NULL,
	`generation` integer NOT NULL,
	`created_at_ms` integer NOT NULL,
	`updated_at_ms` integer NOT NULL,
	PRIMARY KEY(`environment`, `model`),
	FOREIGN KEY (`model`) REFERENCES `models`(`name`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`stable`,`model`) REFERENCES `versions`(`id`,`model`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`canary`,`model`) REFERENCES `versions`(`id`,`model`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "aliases_weight" CHECK("aliases"."weight_bp" BETWEEN 0 AND 10000)
);
--> statement-breakpoint
CREATE INDEX `aliases_by_model` ON `aliases` (`model`);--> statement-breakpoint
CREATE INDEX `aliases_by_stable` ON `aliases` (`stable`);--> statement-breakpoint
CREATE INDEX `aliases_by_canary` ON `aliases` (`canary`);--> statement-breakpoint
CREATE TABLE `api_keys` (
	`id` text PRIMARY KEY NOT NULL,
	`tenant` text NOT NULL,
	`environment` text NOT NULL,
	`name` text NOT NULL,
	`secret_sha256` text NOT NULL,
	`models` text,
	`expires_at_ms` integer,
	`disabled` integer NOT NULL,
	`generation` integer NOT NULL,
	`created_at_ms` integer NOT NULL,
	`updated_at_ms` integer NOT NULL,
	FOREIGN KEY (`tenant`) REFERENCES `tenants`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `api_keys_by_tenant` ON `api_keys` (`tenant`,`id`);--> statement-breakpoint
CREATE TABLE `audit_log` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at_ms` integer NOT NULL,
	`actor` text NOT NULL,
	`action` text NOT NULL,
	`resource` text NOT NULL,
	`resource_id` text NOT NULL,
	`before` text,
	`after` text,
	`request_id` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `audit_log_by_resource` ON `audit_log` (`resource`,`seq`);--> statement-breakpoint
CREATE TABLE `endpoints` (
	`id` text PRIMARY KEY NOT NULL,
	`region` text NOT NULL,
	`version` text NOT NULL,
	`kind` text NOT NULL,
	`url` text NOT NULL,
	`served_name` text NOT NULL,
	`slots` integer NOT NULL,
	`weight` real NOT NULL,
	`state` text NOT NULL,
	`generation` integer NOT NULL,
	`created_at_ms` integer NOT NULL,
	`updated_at_ms` integer NOT NULL,
	FOREIGN KEY (`region`) REFERENCES `regions`(`name`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`version`) REFERENCES `versions`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "endpoints_slots" CHECK("endpoints"."slots" > 0)
);
--> statement-breakpoint
CREATE INDEX `endpoints_by_region` ON `endpoints` (`region`);--> statement-breakpoint
CREATE INDEX `endpoints_by_version` ON `endpoints` (`version`);--> statement-breakpoint
CREATE TABLE `models` (
	`name` text PRIMARY KEY NOT NULL,
	`description` text NOT NULL,
	`generation` integer NOT NULL,
	`created_at_ms` integer NOT NULL,
	`updated_at_ms` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `regions` (
	`name` text PRIMARY KEY NOT NULL,
	`latitude` real NOT NULL,
	`longitude` real NOT NULL,
	`jurisdiction` text,
	`location_hint` text,
	`generation` integer NOT NULL,
	`created_at_ms` integer NOT NULL,
	`updated_at_ms` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `tenants` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`disabled` integer NOT NULL,
	`generation` integer NOT NULL,
	`created_at_ms` integer NOT NULL,
	`updated_at_ms` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `versions` (
	`id` text PRIMARY KEY NOT NULL,
	`model` text NOT NULL,
	`digest` text NOT NULL,
	`engine` text NOT NULL,
	`flags` text NOT NULL,
	`quantisation` text,
	`generation` integer NOT NULL,
	`created_at_ms` integer NOT NULL,
	`updated_at_ms` integer NOT NULL,
	FOREIGN KEY (`model`) REFERENCES `models`(`name`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `versions_by_model` ON `versions` (`model`);--> statement-breakpoint
CREATE UNIQUE INDEX `versions_of_model` ON `versions` (`id`,`model`);