ALTER TABLE "workers" ADD COLUMN "pid" integer NOT NULL;--> statement-breakpoint
ALTER TABLE "workers" ADD COLUMN "job_worker_ids" jsonb DEFAULT '[]'::jsonb NOT NULL;