-- Which model version served when, and every attempt that was refused: the evidence beside MLflow's alias `champion`, which
-- only says what serves now.

create table thumbrank.promotions (
    promotion_id bigint generated always as identity primary key,
    happened_at  timestamptz not null default clock_timestamp(),
    kind         text not null check (kind in ('promoted', 'refused', 'forced', 'rolled_back')),
    version      integer not null check (version > 0),
    fingerprint  text not null check (fingerprint <> ''),
    from_version integer check (from_version > 0),
    verdict      jsonb,
    why          text not null check (why <> ''),
    who          text not null check (who <> ''),
    check (kind = 'rolled_back' or verdict is not null)
);
comment on table thumbrank.promotions is
    'Every promotion, refusal and rollback of a model version, with the figures it was decided by. Appended, never changed.';
comment on column thumbrank.promotions.happened_at is 'When the champion moved, or was refused to.';
comment on column thumbrank.promotions.kind is
    'promoted: the gate passed it; refused: the champion stayed; forced: promoted against the gate, or on a verdict out of date; rolled_back: an earlier champion serves again.';
comment on column thumbrank.promotions.version is 'The registered version that was asked for; it serves from then on unless refused.';
comment on column thumbrank.promotions.fingerprint is 'Of that version''s training: its data, recipe, encoders and code.';
comment on column thumbrank.promotions.from_version is 'The champion before; null: there was none.';
comment on column thumbrank.promotions.verdict is
    'What the gate said of the version: status, sentence, the champion it was measured against, and each condition with its figure. Null: not asked, of a rollback.';
comment on column thumbrank.promotions.why is 'The gate''s sentence, the reason of a refusal, or what a person gave with --why.';
comment on column thumbrank.promotions.who is 'The account of the machine, or the Dagster run.';
create index promotions_version on thumbrank.promotions (version);
