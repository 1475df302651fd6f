alter table publish_tokens enable row level security;
--> statement-breakpoint
create policy tenant on publish_tokens using (organization_id = current_setting('tagalong.organization_id', true))
with check (organization_id = current_setting('tagalong.organization_id', true));
--> statement-breakpoint
grant select, insert, update, delete on publish_tokens to tagalong_app;
