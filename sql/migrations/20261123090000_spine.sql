-- The spine: what was seen (channels, videos, pictures, counts), what was derived (baselines, pairs, embeddings),
-- what could not be had (misses) and what was measured (evaluations). Plain Postgres >= 15, no extension.
-- The schema itself and thumbrank.schema_migrations are made by the runner.

-- The keys are frozen in thumbrank_core/niches.py; a test holds the two together.
create domain thumbrank.niche as text
    check (value in ('tech', 'gaming', 'education', 'entertainment', 'beauty', 'news'));
comment on domain thumbrank.niche is 'One of the six frozen niche keys.';

create table thumbrank.channels (
    channel_key      integer generated always as identity primary key,
    channel_id       text not null unique check (channel_id <> ''),
    niche            thumbrank.niche not null,
    split            text check (split in ('train', 'validation', 'test')),
    title            text,
    subscriber_count bigint,
    video_count      bigint,
    view_count       bigint,
    uploads_playlist text,
    country          text,
    source           text not null check (source in ('youtube_api', 'simulator', 'import')),
    fetched_at       timestamptz not null,
    expires_at       timestamptz
);
comment on table thumbrank.channels is 'One row a channel. A channel belongs to the first niche that confirmed it.';
comment on column thumbrank.channels.split is 'A hash of channel_id, frozen once labels/splits.py has written it.';
comment on column thumbrank.channels.subscriber_count is 'As the API gives it: rounded down to three figures; null when hidden.';
comment on column thumbrank.channels.expires_at is 'API data is refreshed or deleted before this; null for a team''s own data.';
create index channels_niche on thumbrank.channels (niche);

create table thumbrank.discoveries (
    channel_id    text not null,
    niche         thumbrank.niche not null,
    query         text not null,
    rank          integer not null,
    discovered_at timestamptz not null,
    primary key (channel_id, niche, query)
);
comment on table thumbrank.discoveries is 'Which query of which niche found a channel; several niches may find one.';

create table thumbrank.thumbnails (
    video_key           integer generated always as identity primary key,
    video_id            text not null unique check (video_id <> ''),
    channel_key         integer not null references thumbrank.channels on delete cascade,
    title               text not null,
    published_at        timestamptz not null,
    duration_seconds    integer,
    live_broadcast      text not null default 'none',
    category_id         text,
    language            text,
    tags                text[] not null default '{}',
    made_for_kids       boolean,
    thumbnail_url       text,
    exclusion_reason    text,
    source              text not null check (source in ('youtube_api', 'simulator', 'import')),
    fetched_at          timestamptz not null,
    expires_at          timestamptz
);
comment on table thumbrank.thumbnails is 'One row a video (the guide''s table). Every public video seen is kept; criteria mark, never delete.';
comment on column thumbrank.thumbnails.duration_seconds is 'Null where unknown: live and upcoming videos report P0D.';
comment on column thumbrank.thumbnails.exclusion_reason is 'Why labels leave it out (labels/criteria.py); null: it counts.';
create index thumbnails_channel on thumbrank.thumbnails (channel_key, published_at);

create table thumbrank.view_snapshots (
    video_key     integer not null references thumbrank.thumbnails on delete cascade,
    observed_at   timestamptz not null,
    view_count    bigint not null check (view_count >= 0),
    like_count    bigint check (like_count >= 0),
    comment_count bigint check (comment_count >= 0),
    primary key (video_key, observed_at)
);
comment on table thumbrank.view_snapshots is 'Counts as they were when seen; appended, never overwritten. Null: hidden, never 0.';

create table thumbrank.picture_versions (
    video_key     integer not null references thumbrank.thumbnails on delete cascade,
    sha256        bytea not null check (length(sha256) = 32),
    url           text,
    width         integer not null check (width > 0),
    height        integer not null check (height > 0),
    bytes         integer not null check (bytes > 0),
    phash         bigint not null,
    first_seen_at timestamptz not null,
    last_seen_at  timestamptz not null,
    primary key (video_key, sha256)
);
comment on table thumbrank.picture_versions is 'Which picture was seen on a video when; a changed picture is a new row.';
comment on column thumbrank.picture_versions.phash is '64-bit perceptual hash (DCT), as a signed bigint.';
create index picture_versions_sha256 on thumbrank.picture_versions (sha256);

create view thumbrank.latest_snapshots as
    select distinct on (video_key) video_key, observed_at, view_count, like_count, comment_count
    from thumbrank.view_snapshots
    order by video_key, observed_at desc;
comment on view thumbrank.latest_snapshots is 'The newest counts of every video.';

create view thumbrank.current_pictures as
    select distinct on (video_key) video_key, sha256, width, height, first_seen_at, last_seen_at
    from thumbrank.picture_versions
    order by video_key, first_seen_at desc, sha256;
comment on view thumbrank.current_pictures is 'The newest picture of every video.';

create table thumbrank.misses (
    kind       text not null check (kind in ('channel', 'video', 'picture', 'embedding', 'import_row')),
    item_id    text not null,
    niche      thumbrank.niche not null,
    reason     text not null,
    detail     text not null default '',
    missed_at  timestamptz not null,
    primary key (kind, niche, item_id)
);
comment on table thumbrank.misses is 'What could not be had, and why: a failure is a row, never an invented value.';

create table thumbrank.channel_baselines (
    channel_key     integer primary key references thumbrank.channels on delete cascade,
    niche           thumbrank.niche not null,
    video_count     integer not null,
    median_log_vph  double precision not null,
    mad_log_vph     double precision not null,
    mean_vph        double precision not null,
    sd_vph          double precision,
    as_of           timestamptz not null
);
comment on table thumbrank.channel_baselines is 'What is usual for a channel: views per hour (vph) of the videos that count.';
comment on column thumbrank.channel_baselines.mad_log_vph is 'Median absolute deviation of ln(1 + views per hour).';
create index channel_baselines_niche on thumbrank.channel_baselines (niche);

create table thumbrank.training_pairs (
    niche         thumbrank.niche not null,
    a_key         integer not null,
    b_key         integer not null,
    channel_key   integer not null,
    label         text not null,
    outcome       real not null check (outcome in (0, 0.5, 1)),
    margin        real not null check (margin >= 0 and margin <= 1),
    age_gap_hours real not null,
    weight        real not null check (weight > 0),
    primary key (niche, a_key, b_key)
) partition by list (niche);
comment on table thumbrank.training_pairs is 'Two videos of one channel, published within the window; replaced per niche in one transaction.';
comment on column thumbrank.training_pairs.outcome is '1: a has the higher label, 0: b, 0.5: a tie. Orientation is a hash, not time.';
comment on column thumbrank.training_pairs.margin is '|a-b| / max(a, b) of the label, in 0..1 (the guide''s).';
comment on column thumbrank.training_pairs.age_gap_hours is 'Publication of a minus publication of b, hours.';
comment on column thumbrank.training_pairs.weight is '1 / pairs of the channel, so that prolific channels do not own the loss.';
create table thumbrank.training_pairs_tech partition of thumbrank.training_pairs for values in ('tech');
create table thumbrank.training_pairs_gaming partition of thumbrank.training_pairs for values in ('gaming');
create table thumbrank.training_pairs_education partition of thumbrank.training_pairs for values in ('education');
create table thumbrank.training_pairs_entertainment partition of thumbrank.training_pairs for values in ('entertainment');
create table thumbrank.training_pairs_beauty partition of thumbrank.training_pairs for values in ('beauty');
create table thumbrank.training_pairs_news partition of thumbrank.training_pairs for values in ('news');

create table thumbrank.encoders (
    encoder_key smallint generated always as identity primary key,
    encoder_id  text not null unique,
    modality    text not null check (modality in ('image', 'title')),
    dimension   integer not null check (dimension > 0)
);
comment on table thumbrank.encoders is 'Every encoder that has ever written a vector: model, revision, preprocessing and dtype in its id.';

create table thumbrank.embeddings (
    encoder_key smallint not null references thumbrank.encoders,
    sha256      bytea not null check (length(sha256) = 32),
    vector      bytea not null,
    primary key (encoder_key, sha256)
);
comment on table thumbrank.embeddings is 'Content-addressed: sha256 of the picture''s bytes or of the normalised title, little-endian float16.';

create table thumbrank.model_evaluations (
    evaluation_id  bigint generated always as identity primary key,
    model_sha256   text not null,
    model_version  integer,
    evaluated_at   timestamptz not null,
    scorer         text not null,
    is_reference   boolean not null,
    niche          text not null,
    split          text not null,
    label          text not null,
    metric         text not null,
    value          double precision not null,
    ci_low         double precision,
    ci_high        double precision,
    n_pairs        integer not null,
    n_channels     integer not null,
    unique (model_sha256, scorer, niche, split, label, metric, n_pairs)
);
comment on table thumbrank.model_evaluations is 'Every figure with its n, its interval and the reference models beside it.';

-- Belt and braces where a Data API sits beside the database (Supabase): the schema is private.
do $$
declare role_name text;
begin
    foreach role_name in array array['anon', 'authenticated'] loop
        if exists (select 1 from pg_roles where rolname = role_name) then
            execute format('revoke all on schema thumbrank from %I', role_name);
        end if;
    end loop;
end $$;
