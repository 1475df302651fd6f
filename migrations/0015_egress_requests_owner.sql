ALTER TABLE "egress_requests" DROP CONSTRAINT "egress_requests_organization_id_organizations_id_fk";
--> statement-breakpoint
-- In the place of the foreign key: what was recorded of an organization goes with it.
create function tagalong_forget_egress_requests() returns trigger
language plpgsql security definer set search_path = pg_catalog, public as $$
begin
  delete from egress_requests where organization_id = old.id;
  return null;
end
$$;
--> statement-breakpoint
create trigger egress_requests_of_organization after delete on organizations
for each row execute function tagalong_forget_egress_requests();
