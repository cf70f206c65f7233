-- Training stops where the time holdout begins, so that a niche of young videos needs a shorter one.
comment on column thumbrank.pair_builds.cut is
    'The time holdout begins: as_of minus 30 days, or minus half of the time since the oldest labelled video was published.';
