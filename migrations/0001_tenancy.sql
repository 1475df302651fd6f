-- Tenancy. The application role cannot bypass row-level security; a transaction takes it on together with the
-- organization that it acts for (src/store/organization.ts). The owner role, which migrates, keeps full sight: only
-- the few statements in src/store that cross organizations by nature run under it.
do $$
begin
  create role tagalong_app nologin nosuperuser nobypassrls;
exception
  when duplicate_object or unique_violation then null;
end
$$;
--> statement-breakpoint
do $$
begin
  execute format('grant tagalong_app to %I', current_user);
exception
  when others then null; -- a superuser needs no grant, and two migrations may race for it
end
$$;
--> statement-breakpoint
grant usage on schema public to tagalong_app;
--> statement-breakpoint
grant select, insert, update, delete on all tables in schema public to tagalong_app;
--> statement-breakpoint
grant usage on all sequences in schema public to tagalong_app;
--> statement-breakpoint
revoke insert, update, delete on organizations from tagalong_app;
--> statement-breakpoint
revoke all on workers from tagalong_app;
--> statement-breakpoint
do $$
declare
  tenant_table text;
begin
  for tenant_table in
    select c.table_name from information_schema.columns c
    join information_schema.tables t using (table_schema, table_name)
    where c.table_schema = 'public' and c.column_name = 'organization_id' and t.table_type = 'BASE TABLE'
  loop
    execute format('alter table %I enable row level security', tenant_table);
    execute format(
      'create policy tenant on %I using (organization_id = current_setting(''tagalong.organization_id'', true)) '
      'with check (organization_id = current_setting(''tagalong.organization_id'', true))',
      tenant_table
    );
  end loop;
end
$$;
--> statement-breakpoint
alter table organizations enable row level security;
--> statement-breakpoint
create policy tenant on organizations using (id = current_setting('tagalong.organization_id', true));
--> statement-breakpoint
-- The job tables belong to the owner; the application role may only add jobs, in the transaction of its data.
create function tagalong_enqueue(task text, payload json, job_key text, run_at timestamptz, max_attempts int)
returns void language plpgsql security definer set search_path = pg_catalog, public as $$
begin
  perform graphile_worker.add_job(
    task, payload, job_key => job_key, run_at => run_at, max_attempts => max_attempts,
    job_key_mode => case when job_key is null then null else 'replace' end
  );
end
$$;
--> statement-breakpoint
revoke all on function tagalong_enqueue from public;
--> statement-breakpoint
grant execute on function tagalong_enqueue to tagalong_app;
