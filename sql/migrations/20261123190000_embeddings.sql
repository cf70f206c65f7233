-- What is computed of pictures and titles, once: vectors, readings of the weak sub-score signals, and what a niche's
-- vectors looked like at its last run. None of it is exposed to thumbrank_reader, as no other table is.

-- float16 does not compress, so nothing is gained by trying.
alter table thumbrank.embeddings alter column vector set storage external;

create table thumbrank.measures (
    measure_key smallint generated always as identity primary key,
    measure_id  text not null unique check (measure_id <> ''),
    signal      text not null check (signal in ('clarity', 'contrast', 'prominence', 'emotion', 'hierarchy', 'title_match'))
);
comment on table thumbrank.measures is 'Every measure that has ever read a picture: its id names method and version, its signal what it is a weak sign of.';

create table thumbrank.sub_score_signals (
    measure_key smallint not null references thumbrank.measures,
    sha256      bytea not null check (length(sha256) = 32),
    value       real check (value not in ('NaN', 'Infinity', '-Infinity')),
    reason      text check (reason <> ''),
    primary key (measure_key, sha256),
    check (num_nonnulls(value, reason) = 1)
);
comment on table thumbrank.sub_score_signals is 'Content-addressed: what a measure read of a picture, by the sha256 of the picture''s bytes.';
comment on column thumbrank.sub_score_signals.value is 'In the unit of the measure; null where it cannot be computed, which is never 0.';
comment on column thumbrank.sub_score_signals.reason is 'Why there is no value; null where there is one.';

create table thumbrank.embedding_runs (
    niche       thumbrank.niche not null,
    encoder_key smallint not null references thumbrank.encoders,
    ran_at      timestamptz not null,
    pictures    integer not null check (pictures >= 50),
    mean        bytea not null,
    quantiles   bytea not null,
    primary key (niche, encoder_key)
);
comment on table thumbrank.embedding_runs is 'A sketch of a niche''s vectors at its last run, for the drift check; of too few pictures none is kept.';
comment on column thumbrank.embedding_runs.pictures is 'How many vectors the sketch is of.';
comment on column thumbrank.embedding_runs.mean is 'Mean of the unit vectors: one little-endian float32 a dimension.';
comment on column thumbrank.embedding_runs.quantiles is
    '101 quantiles of the projections on each of 32 fixed directions (features/drift.py): little-endian float32, direction by direction.';
