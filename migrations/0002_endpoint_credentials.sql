ALTER TABLE `endpoints` ADD `operations` text;--> statement-breakpoint
ALTER TABLE `endpoints` ADD `options` text DEFAULT '{}' NOT NULL;--> statement-breakpoint
ALTER TABLE `endpoints` ADD `credential` text;--> statement-breakpoint
ALTER TABLE `endpoints` ADD `has_credential` integer GENERATED ALWAYS AS (credential IS NOT NULL) VIRTUAL;--> statement-breakpoint
ALTER TABLE `models` ADD `first_token_ms_max` integer;--> statement-breakpoint
ALTER TABLE `models` ADD `hold_ms_max` integer;