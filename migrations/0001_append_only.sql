-- What the schema promises and drizzle cannot say: versions never change, and the audit log is only ever appended to.
CREATE TRIGGER `versions_immutable` BEFORE UPDATE ON `versions` BEGIN SELECT RAISE(ABORT, 'versions are immutable'); END;
--> statement-breakpoint
CREATE TRIGGER `audit_log_no_update` BEFORE UPDATE ON `audit_log` BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
--> statement-breakpoint
CREATE TRIGGER `audit_log_no_delete` BEFORE DELETE ON `audit_log` BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
