-- Whose consent we hold for real click-through rates, and which of YouTube's reports were read. The tokens are not here:
-- they are files below THUMBRANK_HOME.

create table thumbrank.reach_owners (
    owner_id       text primary key check (owner_id <> ''),
    checked_at     timestamptz not null,
    job_id         text,
    job_created_at timestamptz,
    listed_until   timestamptz
);
comment on table thumbrank.reach_owners is 'Channels whose owners consented (`thumbrank reach login`); a row goes with `reach logout` or a withdrawn consent.';
comment on column thumbrank.reach_owners.checked_at is 'When Google last confirmed the consent; figures of one not confirmed for 30 days expire.';
comment on column thumbrank.reach_owners.job_created_at is 'YouTube''s reports begin 30 days before it; nothing older can be had.';
comment on column thumbrank.reach_owners.listed_until is 'Every report of this job made until then is read; null before the first complete sync.';

create table thumbrank.reach_reports (
    owner_id      text not null references thumbrank.reach_owners on delete cascade,
    starts_at     timestamptz not null,
    ends_at       timestamptz not null check (ends_at > starts_at),
    report_id     text not null check (report_id <> ''),
    issued_at     timestamptz not null,
    row_count     integer not null check (row_count >= 0),
    without_video integer not null check (without_video >= 0),
    primary key (owner_id, starts_at, ends_at)
);
comment on table thumbrank.reach_reports is 'The newest issue that was read of each period''s report; its rows are in reach_daily. Never replaced by an older issue.';
comment on column thumbrank.reach_reports.issued_at is 'createTime of the report: YouTube issues a day again when its figures change.';
comment on column thumbrank.reach_reports.without_video is 'Rows without a video id (deleted videos, the channel as a whole): counted, not stored.';

alter table thumbrank.retention_audit
    drop constraint retention_audit_action_check,
    add constraint retention_audit_action_check check (action in ('expire', 'forget', 'logout', 'revoked'));
