-- What YouTube's "Test & compare" said of a team's own tests: gold pairs for evaluation, never for training.

create table thumbrank.ab_outcomes (
    owner_id    text not null check (owner_id <> ''),
    test_id     text not null check (test_id <> ''),
    video_id    text not null check (video_id <> ''),
    metric      text not null check (metric in ('watch_time_share', 'ctr')),
    outcome     text not null check (outcome in ('winner', 'performed_same', 'inconclusive')),
    first_day   date not null,
    last_day    date not null check (last_day >= first_day),
    source      text not null check (source in ('import')),
    imported_at timestamptz not null,
    primary key (owner_id, test_id)
);
comment on table thumbrank.ab_outcomes is
    'A/B tests of thumbnails and titles and how they ended. For evaluation only: training never reads it.';
comment on column thumbrank.ab_outcomes.owner_id is 'The channel whose owner ran the test.';
comment on column thumbrank.ab_outcomes.test_id is 'The team''s own name of the test; unique per owner.';
comment on column thumbrank.ab_outcomes.metric is 'What decided: the share of the test''s watch time (YouTube''s own), or click-through rate.';
comment on column thumbrank.ab_outcomes.outcome is 'performed_same: measured, and no difference; inconclusive: not enough to tell.';
create index ab_outcomes_video on thumbrank.ab_outcomes (video_id);

create table thumbrank.ab_variants (
    owner_id  text not null,
    test_id   text not null,
    label     text not null check (label <> ''),
    sha256    bytea check (length(sha256) = 32),
    title     text,
    value     double precision check (value between 0 and 1),
    is_winner boolean not null,
    primary key (owner_id, test_id, label),
    foreign key (owner_id, test_id) references thumbrank.ab_outcomes on delete cascade,
    check (sha256 is not null or title is not null)
);
comment on table thumbrank.ab_variants is 'What a test compared, 2 or 3 a test; at most one won.';
comment on column thumbrank.ab_variants.sha256 is 'Its picture in the picture store; null where the test was of titles only.';
comment on column thumbrank.ab_variants.title is 'Its title; null where the test was of pictures only.';
comment on column thumbrank.ab_variants.value is 'Share of watch time (about 1 a test) or click-through rate, 0..1; null where it is not known.';
create unique index ab_variants_one_winner on thumbrank.ab_variants (owner_id, test_id) where is_winner;
create index ab_variants_sha256 on thumbrank.ab_variants (sha256);
