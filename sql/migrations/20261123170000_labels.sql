-- Labels that mean something: what is usual for a channel, how views grow with age, each video's label, and who beats whom.
-- All but reach_daily is derived and replaced per niche, so that what was there is dropped and not carried over.

truncate thumbrank.channel_baselines;
alter table thumbrank.channel_baselines
    add column growth double precision,
    add column first_published_at timestamptz not null,
    add column last_published_at timestamptz not null;
comment on column thumbrank.channel_baselines.growth is
    'Least-squares slope of ln(1 + views) on ln(age): 1 where views grow in step with age, 0 where they have stopped; null below 3 videos.';
comment on column thumbrank.channel_baselines.first_published_at is 'Beginning of the window: the oldest video that counts.';
comment on column thumbrank.channel_baselines.last_published_at is 'End of the window: the newest video that counts.';
comment on column thumbrank.channel_baselines.as_of is 'The newest counts in it.';

alter table thumbrank.thumbnails add column picture_changed_at timestamptz;
comment on column thumbrank.thumbnails.picture_changed_at is
    'When a picture that looks different from the one before was first seen; null: never. Outlives the versions, which expire.';

create view thumbrank.first_pictures as
    select distinct on (video_key) video_key, sha256, phash, first_seen_at, last_seen_at
    from thumbrank.picture_versions
    order by video_key, first_seen_at, sha256;
comment on view thumbrank.first_pictures is 'The picture a label is about: the first one seen of every video.';

create table thumbrank.growth_curves (
    niche        thumbrank.niche primary key,
    knots_days   double precision[] not null,
    log_growth   double precision[] not null check (cardinality(log_growth) = cardinality(knots_days)),
    residual_sd  double precision not null,
    level        double precision not null,
    n_videos     integer not null,
    n_channels   integer not null,
    as_of        timestamptz not null
);
comment on table thumbrank.growth_curves is
    'ln(1 + views) as a function of age, fitted inside training channels only: straight in ln(age) between the knots, never falling.';
comment on column thumbrank.growth_curves.log_growth is 'Its value at each knot, 0 at the first.';
comment on column thumbrank.growth_curves.level is 'Mean over training channels of ln(1 + views) minus the curve.';

-- No reference and no second index: each would take longer than everything else about a label. retention/tables.py removes
-- labels with their videos.
create table thumbrank.video_labels (
    video_key   integer primary key,
    channel_key integer not null,
    niche       thumbrank.niche not null,
    value       double precision not null check (value >= 0),
    regime      smallint not null,
    observed_at timestamptz not null,
    picture_sha256 bytea not null
);
comment on table thumbrank.video_labels is 'The label of every video that is compared; pair_builds says which label it is. Replaced with the niche''s pairs.';
comment on column thumbrank.video_labels.value is 'Higher is better, on a scale of ratios: views per hour, or times what is usual at that age.';
comment on column thumbrank.video_labels.observed_at is 'Up to when the views were earned that the label is made of.';
comment on column thumbrank.video_labels.picture_sha256 is 'The picture that earned them.';
comment on column thumbrank.video_labels.regime is 'What a view meant at publication and when counted (labels/regimes.py); only equal regimes are compared.';

drop table thumbrank.training_pairs;
create table thumbrank.training_pairs (
    a_key         integer not null,
    b_key         integer not null,
    channel_key   integer not null,
    outcome       real not null,
    margin        real not null,
    soft_target   real not null,
    age_gap_hours real not null,
    weight        real not null,
    niche         thumbrank.niche not null
) partition by list (niche);
comment on table thumbrank.training_pairs is 'Two videos of one channel, published within the window; replaced per niche in one transaction.';
comment on column thumbrank.training_pairs.outcome is '1: a has the higher label, 0: b, 0.5: a tie. Orientation is a hash, not time.';
comment on column thumbrank.training_pairs.margin is '|a-b| / max(a, b) of the label, in 0..1 (the guide''s).';
comment on column thumbrank.training_pairs.soft_target is 'P(a beats b) = 1 / (1 + (b/a)^(1/tau)) of the label; 0.5 for a tie.';
comment on column thumbrank.training_pairs.age_gap_hours is 'Publication of a minus publication of b, hours.';
comment on column thumbrank.training_pairs.weight is '1 / pairs of the channel, so that prolific channels do not own the loss.';
-- A niche is a partition with one partition of its own: a rebuild makes the rows beside those that are read, key included, and swaps
-- them in, which locks that niche alone. The key is the rows', not the parent's, whose key would tie all niches together.
do $$
declare niche text;
begin
    foreach niche in array array['tech', 'gaming', 'education', 'entertainment', 'beauty', 'news'] loop
        execute format('create table thumbrank.training_pairs_%1$s partition of thumbrank.training_pairs for values in (%1$L) '
                       'partition by list (niche)', niche);
        execute format('create table thumbrank.training_pairs_%1$s_rows partition of thumbrank.training_pairs_%1$s '
                       '(primary key (a_key, b_key)) for values in (%1$L)', niche);
    end loop;
end $$;

create table thumbrank.pair_builds (
    niche    thumbrank.niche primary key,
    label    text not null check (label in ('views_per_hour', 'age_adjusted', 'window_views')),
    policy   jsonb not null,
    as_of    timestamptz,
    cut      timestamptz,
    left_out jsonb not null,
    videos   integer not null,
    channels integer not null,
    pairs    bigint not null
);
comment on table thumbrank.pair_builds is 'How a niche''s labels and pairs were made; one row a niche, replaced with them.';
comment on column thumbrank.pair_builds.videos is 'Videos in pairs; `channels` and `pairs` likewise. Counted here, so that nobody waits for another niche''s rebuild.';
comment on column thumbrank.pair_builds.as_of is 'The newest counts the labels come from; null without labels.';
comment on column thumbrank.pair_builds.cut is 'The time holdout begins: as_of minus 30 days.';
comment on column thumbrank.pair_builds.left_out is 'Videos that count and have no label, or whose picture crosses a split, by reason.';

create table thumbrank.reach_daily (
    owner_id    text not null check (owner_id <> ''),
    source      text not null check (source in ('reporting_api', 'studio')),
    video_id    text not null check (video_id <> ''),
    first_day   date not null,
    last_day    date not null check (last_day >= first_day),
    impressions bigint not null check (impressions >= 0),
    click_rate  double precision check (click_rate between 0 and 1),
    issued_at   timestamptz not null,
    primary key (owner_id, source, video_id, first_day, last_day),
    check (click_rate is not null or impressions = 0)
);
comment on table thumbrank.reach_daily is
    'Real thumbnail impressions and click-through rate, which only a channel''s owner can see. Never aggregated across owners.';
comment on column thumbrank.reach_daily.owner_id is 'The channel whose owner brought or consented to it.';
comment on column thumbrank.reach_daily.first_day is 'A Pacific day; the Reporting API''s rows are of one day, a Studio export''s of its period.';
comment on column thumbrank.reach_daily.click_rate is 'Clicks / impressions, 0..1; null without impressions.';
comment on column thumbrank.reach_daily.issued_at is 'When YouTube made the report, or the file was exported: of two figures for one day the later counts.';
create index reach_daily_video on thumbrank.reach_daily (video_id);
