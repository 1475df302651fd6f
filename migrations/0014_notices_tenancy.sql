-- What admins are told, and where it is sent, belongs to tenants (0001_tenancy.sql).
do $$
declare
  tenant_table text;
begin
  foreach tenant_table in array array['admin_notices', 'notification_urls'] loop
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
