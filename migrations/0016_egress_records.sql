CREATE TABLE "egress_records" (
	"id" text PRIMARY KEY NOT NULL,
	"organization_id" text NOT NULL,
	"session_id" text,
	"installation_id" text,
	"turn_id" text,
	"method" text NOT NULL,
	"scheme" text NOT NULL,
	"host" text NOT NULL,
	"port" integer NOT NULL,
	"credential" text,
	"decision" text NOT NULL,
	"rule" text NOT NULL,
	"model" text,
	"input_tokens" integer,
	"output_tokens" integer,
	"cached_tokens" integer,
	"stop_reason" text,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	"offsets_ms" integer[] NOT NULL,
	"paths" text[] NOT NULL,
	"statuses" integer[] NOT NULL,
	"bytes_up" bigint[] NOT NULL,
	"bytes_down" bigint[] NOT NULL,
	"durations_ms" integer[] NOT NULL,
	"chain" text,
	"number" bigint,
	"seal" text
);
--> statement-breakpoint
CREATE INDEX "egress_records_session" ON "egress_records" USING btree ("organization_id","session_id","id");
--> statement-breakpoint
-- What was recorded until now: a row each, in no chain.
insert into egress_records
select id, organization_id, session_id, installation_id, turn_id, method, scheme, host, port, credential, decision, rule,
  model, input_tokens, output_tokens, cached_tokens, stop_reason, at,
  array[0], array[path], array[status], array[bytes_up], array[bytes_down], array[duration_ms]
from egress_requests;
--> statement-breakpoint
DROP TABLE "egress_requests" CASCADE;
--> statement-breakpoint
-- Written all the time and seldom read: to compress them costs Postgres a fifth of what a record does.
alter table egress_records alter column paths set storage external;
--> statement-breakpoint
-- Nobody but the owner, as which the egress process writes, adds or changes a record.
grant select on egress_records to tagalong_app;
--> statement-breakpoint
alter table egress_records enable row level security;
--> statement-breakpoint
create policy tenant on egress_records using (organization_id = current_setting('tagalong.organization_id', true));
--> statement-breakpoint
drop trigger egress_requests_of_organization on organizations;
--> statement-breakpoint
drop function tagalong_forget_egress_requests();
--> statement-breakpoint
-- In the place of a foreign key: what was recorded of an organization goes with it.
create function tagalong_forget_egress_records() returns trigger
language plpgsql security definer set search_path = pg_catalog, public as $$
begin
  delete from egress_records where organization_id = old.id;
  return null;
end
$$;
--> statement-breakpoint
create trigger egress_records_of_organization after delete on organizations
for each row execute function tagalong_forget_egress_records();
--> statement-breakpoint
create function tagalong_digit(value bigint, place bigint) returns text
language sql immutable strict parallel safe as $$
  select substr('0123456789abcdefghijklmnopqrstuvwxyz', (value / place % 36)::int + 1, 1)
$$;
--> statement-breakpoint
-- A request's identifier sorts by the millisecond in which it began, as all do (src/store/ids.ts): nine digits of time,
-- eleven of what its group drew by chance, four of its place in the group; base 36.
create function tagalong_request_id(at timestamptz, group_id text, place bigint) returns text
language sql immutable strict parallel safe as $$
  select 'egr_' || tagalong_digit(ms, 2821109907456) || tagalong_digit(ms, 78364164096)
    || tagalong_digit(ms, 2176782336) || tagalong_digit(ms, 60466176) || tagalong_digit(ms, 1679616)
    || tagalong_digit(ms, 46656) || tagalong_digit(ms, 1296) || tagalong_digit(ms, 36) || tagalong_digit(ms, 1)
    || substr(group_id, 14, 11)
    || tagalong_digit(place, 46656) || tagalong_digit(place, 1296) || tagalong_digit(place, 36) || tagalong_digit(place, 1)
  from (select (extract(epoch from at) * 1000)::bigint as ms) t
$$;
--> statement-breakpoint
create view egress_requests with (security_invoker = true) as
select tagalong_request_id(moment.at, id, own.place - 1) as id, id as group_id,
  organization_id, session_id, installation_id, turn_id, method, scheme, host, port, credential, decision, rule,
  model, input_tokens, output_tokens, cached_tokens, stop_reason,
  moment.at, own.path, own.status, own.bytes_up, own.bytes_down, own.duration_ms
from egress_records as records,
  unnest(offsets_ms, paths, statuses, records.bytes_up, records.bytes_down, durations_ms) with ordinality
    as own (offset_ms, path, status, bytes_up, bytes_down, duration_ms, place),
  lateral (select records.at + own.offset_ms * interval '1 millisecond' as at) as moment;
--> statement-breakpoint
grant select on egress_requests to tagalong_app;
