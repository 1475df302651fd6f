-- Host uids of sandboxes are unique over all organizations: each session takes the next one at its first start.
create sequence session_uids as integer minvalue 0 maxvalue 999999 start 0 cycle;
--> statement-breakpoint
grant usage on sequence session_uids to tagalong_app;
