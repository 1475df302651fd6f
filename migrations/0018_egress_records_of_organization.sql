ALTER TABLE "egress_records" DROP CONSTRAINT "egress_records_pkey";--> statement-breakpoint
ALTER TABLE "egress_records" ADD CONSTRAINT "egress_records_organization_id_id_pk" PRIMARY KEY("organization_id","id");
