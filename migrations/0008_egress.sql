ALTER TABLE "egress_requests" ADD COLUMN "model" text;--> statement-breakpoint
ALTER TABLE "egress_requests" ADD COLUMN "input_tokens" integer;--> statement-breakpoint
ALTER TABLE "egress_requests" ADD COLUMN "output_tokens" integer;--> statement-breakpoint
ALTER TABLE "egress_requests" ADD COLUMN "cached_tokens" integer;--> statement-breakpoint
ALTER TABLE "egress_requests" ADD COLUMN "stop_reason" text;--> statement-breakpoint
ALTER TABLE "sessions" ADD COLUMN "vault_ids" jsonb DEFAULT '[]'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "credentials" ADD COLUMN "archived_at" timestamp with time zone;--> statement-breakpoint
CREATE INDEX "credentials_vault" ON "credentials" USING btree ("vault_id");