CREATE TABLE "publish_tokens" (
	"hash" text PRIMARY KEY NOT NULL,
	"organization_id" text NOT NULL,
	"publication_id" text NOT NULL,
	"kind" text NOT NULL,
	"step" text,
	"browser_hash" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	"used_at" timestamp with time zone,
	"revoked_at" timestamp with time zone
);
--> statement-breakpoint
ALTER TABLE "publications" ADD COLUMN "setup" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "publish_tokens" ADD CONSTRAINT "publish_tokens_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "publish_tokens" ADD CONSTRAINT "publish_tokens_organization_id_publication_id_publications_organization_id_id_fk" FOREIGN KEY ("organization_id","publication_id") REFERENCES "public"."publications"("organization_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "publish_tokens_publication" ON "publish_tokens" USING btree ("publication_id","kind");