-- When a figure came here, beside when YouTube made it: a report that is read late, or an export that was kept, is new all the
-- same to whoever asks what came since the last training.

alter table thumbrank.reach_daily add column stored_at timestamptz;
update thumbrank.reach_daily set stored_at = issued_at;
alter table thumbrank.reach_daily
    alter column stored_at set default now(),
    alter column stored_at set not null;
comment on column thumbrank.reach_daily.stored_at is
    'When the row was written or last changed here; of rows older than this column, when YouTube made the report.';

-- By the database and not by each writer, so that none forgets it.
create function thumbrank.stamp_stored_at() returns trigger language plpgsql set search_path = '' as $$
begin
    new.stored_at := now();
    return new;
end $$;
create trigger reach_daily_stored_at before update on thumbrank.reach_daily
    for each row execute function thumbrank.stamp_stored_at();
create index reach_daily_stored_at on thumbrank.reach_daily (stored_at);
