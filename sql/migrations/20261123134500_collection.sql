-- Collection that can be left alone: what was spent, where a collection stands, how long a row may stay, what was removed.

alter table thumbrank.channels
    add column made_for_kids boolean;

alter table thumbrank.thumbnails
    add column video_kind text not null default 'upload' check (video_kind in ('upload', 'short', 'live', 'premiere')),
    add column trainability text,
    add column trainability_checked_at timestamptz,
    alter column title drop not null;
comment on column thumbrank.thumbnails.title is 'Null once it expired while the counts may stay (policy mode audited).';
comment on column thumbrank.thumbnails.video_kind is
    'upload, short (at most 180 s and not wider than high), live (now, upcoming or recorded), premiere (seen before its start).';
comment on column thumbrank.thumbnails.trainability is
    'The creator''s third-party training setting: all, none, or the permitted parties, comma-separated; null: not asked.';

-- Every row of the API says how long it may stay; null: a team's own data, or the simulator's.
alter table thumbrank.discoveries add column expires_at timestamptz;
alter table thumbrank.view_snapshots add column expires_at timestamptz;
alter table thumbrank.picture_versions add column expires_at timestamptz;
alter table thumbrank.misses add column expires_at timestamptz;
create table thumbrank.quota_ledger (
    pacific_date date not null,
    bucket       text not null check (bucket in ('search', 'stats_batch', 'default')),
    niche        thumbrank.niche not null,
    spent        integer not null default 0 check (spent >= 0),
    reserved     integer not null default 0 check (reserved >= 0),
    renewed_at   timestamptz,
    exhausted_at timestamptz,
    primary key (pacific_date, bucket, niche)
);
comment on table thumbrank.quota_ledger is 'Units charged per attempt, before it is sent; one row a Pacific day, bucket and niche.';
comment on column thumbrank.quota_ledger.spent is 'Units charged; a refused or lost attempt costs its unit too.';
comment on column thumbrank.quota_ledger.reserved is 'What a running collection of this niche keeps for itself; 0 once it ended.';
comment on column thumbrank.quota_ledger.renewed_at is 'When the running collection last showed that it is alive; a dead one''s share is free.';
comment on column thumbrank.quota_ledger.exhausted_at is 'When YouTube said that the bucket is spent, whatever we had counted.';

create table thumbrank.collection_runs (
    niche        thumbrank.niche primary key,
    crawl_id     uuid not null,
    started_at   timestamptz not null,
    last_run_at  timestamptz not null,
    owner        text,
    planned      jsonb not null default '{}',
    finished_at  timestamptz,
    state        text not null check (state in ('running', 'partial', 'complete')),
    reason       text not null default '',
    resumes_at   timestamptz,
    batch_refused_at timestamptz
);
comment on table thumbrank.collection_runs is 'The last collection of each niche: complete, or why it stands still and when it can go on.';
comment on column thumbrank.collection_runs.started_at is 'The server''s clock; search pages and windows of the whole collection are counted from it.';
comment on column thumbrank.collection_runs.last_run_at is 'When a run of it last began or paused; what lies idle for a week begins anew.';
comment on column thumbrank.collection_runs.owner is 'host:process of the running collection, so that no second one of this niche starts beside it.';
comment on column thumbrank.collection_runs.planned is
    'Stage -> Pacific date on which its work was written to collection_progress or collection_queue.';
comment on column thumbrank.collection_runs.batch_refused_at is 'When videos.batchGetStats was refused: counts then come from videos.list for a week.';

create table thumbrank.collection_progress (
    niche       thumbrank.niche not null,
    stage       text not null check (stage in ('discover', 'vet', 'list')),
    item        text not null,
    position    bigint generated always as identity,
    page_token  text,
    pages       integer not null default 0,
    done        boolean not null default false,
    primary key (niche, stage, item)
);
comment on table thumbrank.collection_progress is
    'Where a collection stands: a query, a candidate channel, a channel''s uploads, each with its next page. Emptied when it is complete.';
create index collection_progress_position on thumbrank.collection_progress (niche, stage, position) where not done;

create table thumbrank.collection_queue (
    niche       thumbrank.niche not null,
    stage       text not null check (stage in ('hydrate', 'snapshot', 'refresh', 'trainability')),
    position    bigint generated always as identity,
    video_id    text not null,
    primary key (niche, stage, video_id)
);
comment on table thumbrank.collection_queue is 'Videos that a stage is still to ask for. Empty when a collection is complete.';
create index collection_queue_position on thumbrank.collection_queue (niche, stage, position);

create table thumbrank.tombstones (
    kind      text not null check (kind in ('channel', 'video')),
    item_id   text not null,
    reason    text not null check (reason in ('forgotten', 'expired')),
    made_at   timestamptz not null,
    primary key (kind, item_id)
);
comment on table thumbrank.tombstones is 'What was removed, without its content. A forgotten item is never collected again; an expired one may be.';

create table thumbrank.retention_audit (
    audit_id  bigint generated always as identity primary key,
    done_at   timestamptz not null,
    action    text not null check (action in ('expire', 'forget')),
    policy_mode text not null check (policy_mode in ('unaudited', 'audited')),
    subject   text not null,
    counts    jsonb not null
);
comment on table thumbrank.retention_audit is 'One row a removal: what was removed, counted by store; never its content.';

-- A picture that goes from A to B and back to A shows A: what was seen last counts.
create or replace view thumbrank.current_pictures as
    select distinct on (video_key) video_key, sha256, width, height, first_seen_at, last_seen_at
    from thumbrank.picture_versions
    order by video_key, last_seen_at desc, first_seen_at desc, sha256;
