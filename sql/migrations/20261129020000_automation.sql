-- What happens by itself: which month was trained and why, what drifted, and what the team was told of it.

create table thumbrank.training_months (
    month        text primary key check (month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
    attempt      integer not null check (attempt > 0),
    trigger      text not null check (trigger in ('monthly', 'owner_rates', 'champion_age', 'drift', 'by_hand')),
    reason       text not null check (reason <> ''),
    niches       text[] not null,
    requested_at timestamptz not null,
    state        text not null check (state in ('requested', 'trained', 'failed', 'skipped')),
    ended_at     timestamptz,
    why          text,
    check ((state = 'requested') = (ended_at is null)),
    check (state not in ('failed', 'skipped') or why is not null)
);
comment on table thumbrank.training_months is
    'The one key that every trigger of training shares: a month is trained once, whichever of them comes first.';
comment on column thumbrank.training_months.month is 'The month that began with the monthly refresh (config/automation.yaml), in its time zone.';
comment on column thumbrank.training_months.attempt is 'Counted up when a training that failed is asked for again, after a niche was mended.';
comment on column thumbrank.training_months.trigger is 'Who asked; by_hand: a person had trained on the month''s niches already.';
comment on column thumbrank.training_months.niches is 'What the training was asked to learn from.';
comment on column thumbrank.training_months.state is
    'requested: a run is on its way; skipped: too few niches were refreshed in time. Failed and skipped months may be trained yet.';
comment on column thumbrank.training_months.why is 'The sentence of a failure, or why it was skipped.';

create table thumbrank.drift_readings (
    niche         thumbrank.niche not null,
    encoder_key   smallint not null references thumbrank.encoders,
    read_at       timestamptz not null,
    pictures_then integer not null check (pictures_then > 0),
    pictures_now  integer not null check (pictures_now > 0),
    mean_shift    real not null,
    ks            real not null check (ks between 0 and 1),
    p_value       real not null check (p_value between 0 and 1),
    drifted       boolean not null,
    primary key (niche, encoder_key, read_at)
);
comment on table thumbrank.drift_readings is 'How a niche''s pictures differed from those of its run before, at every run that had one before.';
comment on column thumbrank.drift_readings.mean_shift is 'Euclidean distance of the means of the unit vectors, 0 to 2.';
comment on column thumbrank.drift_readings.ks is 'The largest two-sample Kolmogorov-Smirnov statistic over 32 directions.';
comment on column thumbrank.drift_readings.drifted is 'Whether it was over the threshold of that day.';
create index drift_readings_read_at on thumbrank.drift_readings (read_at);

create table thumbrank.monthly_digests (
    month        text primary key check (month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
    written_at   timestamptz not null,
    body         text not null check (body <> ''),
    delivered_at timestamptz
);
comment on table thumbrank.monthly_digests is 'What the team was told of a month: counts and figures, no title and no name of a channel.';
comment on column thumbrank.monthly_digests.body is 'Markdown.';
comment on column thumbrank.monthly_digests.delivered_at is 'When the webhook took it; null: none is set, or it could not be reached.';
