-- The tables of approvals belong to tenants, as all others do (0001_tenancy.sql).
do $$
declare
  tenant_table text;
begin
  foreach tenant_table in array array['approvals', 'approval_votes', 'notices'] loop
    execute format('grant select, insert, update, delete on %I to tagalong_app', tenant_table);
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
-- Whether a message at the provider is one that we wrote.
create index actions_ref on actions using gin ((result->'ref') jsonb_path_ops) where result ? 'ref';
