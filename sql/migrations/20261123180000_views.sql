-- Data out, for people who write SQL: four views with public ids and no surrogate keys, and a role that reads them and
-- nothing else. docs/data-out.md has the columns in a table and queries to begin with; `thumbrank export-data` writes the
-- first three as files. A view shows what the tables hold at that moment, so that what retention removed is gone here too.

create or replace view thumbrank.latest_snapshots as
    select distinct on (video_key) video_key, observed_at, view_count, like_count, comment_count, expires_at
    from thumbrank.view_snapshots
    order by video_key, observed_at desc;

create view thumbrank.videos as
    select c.niche, c.channel_id, c.title as channel_title, c.subscriber_count, c.split,
           t.video_id, t.title, t.published_at, t.duration_seconds as duration, t.video_kind as kind, t.live_broadcast,
           t.category_id, t.language, t.made_for_kids,
           s.observed_at, s.view_count, s.like_count, s.comment_count,
           case when s.observed_at > t.published_at
                then s.view_count / greatest(extract(epoch from s.observed_at - t.published_at) / 3600.0, 1)::double precision
           end as views_per_hour,
           t.exclusion_reason, case when l.video_key is not null then b.label end as label, l.value as label_value,
           l.observed_at as label_observed_at, l.regime,
           encode(p.sha256, 'hex') as picture_sha256, p.phash as picture_phash, t.picture_changed_at,
           t.source, t.fetched_at, least(t.expires_at, c.expires_at, s.expires_at, v.expires_at) as expires_at
    from thumbrank.thumbnails t
    join thumbrank.channels c using (channel_key)
    left join thumbrank.latest_snapshots s using (video_key)
    left join thumbrank.first_pictures p using (video_key)
    left join thumbrank.picture_versions v on v.video_key = p.video_key and v.sha256 = p.sha256
    left join thumbrank.video_labels l on l.video_key = t.video_key
    left join thumbrank.pair_builds b on b.niche = l.niche;
comment on view thumbrank.videos is 'One row a video: what was seen of it last, why it does not count or what its label is.';
comment on column thumbrank.videos.niche is 'The niche its channel belongs to: tech, gaming, education, entertainment, beauty or news.';
comment on column thumbrank.videos.channel_id is 'YouTube''s id of the channel.';
comment on column thumbrank.videos.channel_title is 'The channel''s name; null once it expired.';
comment on column thumbrank.videos.subscriber_count is 'The channel''s subscribers, rounded down to three figures by YouTube; null when hidden.';
comment on column thumbrank.videos.split is 'train, validation or test, frozen by a hash of channel_id; null before labels were made.';
comment on column thumbrank.videos.video_id is 'YouTube''s id of the video; one row each.';
comment on column thumbrank.videos.title is 'The title as shown when last read; null once it expired while the counts stay.';
comment on column thumbrank.videos.published_at is 'When it was published.';
comment on column thumbrank.videos.duration is 'Length in seconds; null where unknown (live and upcoming videos).';
comment on column thumbrank.videos.kind is 'upload, short (at most 180 s and not wider than high), live or premiere.';
comment on column thumbrank.videos.live_broadcast is 'none, live or upcoming when last read.';
comment on column thumbrank.videos.category_id is 'YouTube''s category.';
comment on column thumbrank.videos.language is 'Of the sound or of the title, BCP 47; null where the creator set none.';
comment on column thumbrank.videos.made_for_kids is 'YouTube''s flag; null where unknown.';
comment on column thumbrank.videos.observed_at is 'When the counts were seen: the newest snapshot; null without one.';
comment on column thumbrank.videos.view_count is 'Views at observed_at; null: never shown.';
comment on column thumbrank.videos.like_count is 'Likes at observed_at; null: hidden.';
comment on column thumbrank.videos.comment_count is 'Comments at observed_at; null: hidden.';
comment on column thumbrank.videos.views_per_hour is
    'view_count / hours from publication to observed_at, an hour at least. A rate of views, never a click-through rate.';
comment on column thumbrank.videos.exclusion_reason is 'The first criterion that leaves it out of labels and pairs; null: it counts.';
comment on column thumbrank.videos.label is 'Which label label_value is: age_adjusted, views_per_hour or window_views; null without one.';
comment on column thumbrank.videos.label_value is
    'Higher is better, on a scale of ratios; null where the video does not count, is too young or its picture changed.';
comment on column thumbrank.videos.label_observed_at is
    'The counts the label comes from; older than observed_at where counts came in since labels were made.';
comment on column thumbrank.videos.regime is
    '10 x what a view meant at publication + what it meant at label_observed_at; only equal regimes are compared.';
comment on column thumbrank.videos.picture_sha256 is
    'sha256 of the picture that the label is about, the first one seen, hexadecimal; also its name in the picture store.';
comment on column thumbrank.videos.picture_phash is
    '64-bit perceptual hash of that picture as a signed integer; bit_count((a # b)::bit(64)) is the distance of two.';
comment on column thumbrank.videos.picture_changed_at is 'When a picture that looks different was first seen; null: never.';
comment on column thumbrank.videos.source is 'youtube_api, import (a team''s own data set) or simulator (invented: for demos and tests).';
comment on column thumbrank.videos.fetched_at is 'When the video was last read.';
comment on column thumbrank.videos.expires_at is
    'When the first of the row''s API data has to be refreshed or deleted; null: none of it comes from the API.';

create view thumbrank.pairs as
    select p.niche, b.label, c.channel_id, c.split, x.video_id as a_video_id, y.video_id as b_video_id,
           p.outcome, p.margin, p.soft_target, p.age_gap_hours, p.weight,
           case when x.published_at >= b.cut and y.published_at >= b.cut then 'later'
                when x.published_at < b.cut and y.published_at < b.cut then 'earlier'
                when b.cut is not null then 'across' end as period,
           greatest(x.source, y.source) as source
    from thumbrank.training_pairs p
    join thumbrank.thumbnails x on x.video_key = p.a_key
    join thumbrank.thumbnails y on y.video_key = p.b_key
    join thumbrank.channels c on c.channel_key = p.channel_key
    left join thumbrank.pair_builds b on b.niche = p.niche;
comment on view thumbrank.pairs is
    'Two videos of one channel, published close to one another, and which has the higher label. Ask for one niche: each has its own partition.';
comment on column thumbrank.pairs.niche is 'The niche the pair was made for.';
comment on column thumbrank.pairs.label is 'What the outcome compares: age_adjusted, views_per_hour or window_views.';
comment on column thumbrank.pairs.channel_id is 'The channel of both videos.';
comment on column thumbrank.pairs.split is 'train, validation or test, by channel: never report a figure on train.';
comment on column thumbrank.pairs.a_video_id is 'Video a. Which of the two it is, a hash says, not time.';
comment on column thumbrank.pairs.b_video_id is 'Video b.';
comment on column thumbrank.pairs.outcome is '1: a has the higher label, 0: b, 0.5: a tie.';
comment on column thumbrank.pairs.margin is '|a-b| / max(a, b) of the label, in 0..1.';
comment on column thumbrank.pairs.soft_target is 'P(a beats b), in 0..1; 0.5 for a tie.';
comment on column thumbrank.pairs.age_gap_hours is 'Publication of a minus publication of b, hours.';
comment on column thumbrank.pairs.weight is '1 / pairs of the channel, so that prolific channels do not own an average.';
comment on column thumbrank.pairs.period is 'Both videos published before the time cut (earlier), one of them (across) or none (later).';
comment on column thumbrank.pairs.source is 'youtube_api where either video is of the API, else simulator where either is, else import.';

create view thumbrank.channels_with_baselines as
    select c.niche, c.channel_id, c.title as channel_title, c.split, c.subscriber_count, c.video_count, c.view_count,
           c.country, c.made_for_kids,
           b.video_count as baseline_videos, b.median_log_vph as median_log_views_per_hour,
           b.mad_log_vph as mad_log_views_per_hour, b.mean_vph as mean_views_per_hour, b.sd_vph as sd_views_per_hour,
           b.growth, b.first_published_at as baseline_from, b.last_published_at as baseline_until, b.as_of as baseline_as_of,
           c.source, c.fetched_at, c.expires_at
    from thumbrank.channels c
    left join thumbrank.channel_baselines b using (channel_key);
comment on view thumbrank.channels_with_baselines is
    'One row a channel, with what is usual for it over its videos that count; the baseline is null where none does.';
comment on column thumbrank.channels_with_baselines.niche is 'The niche it belongs to: the first that confirmed it.';
comment on column thumbrank.channels_with_baselines.channel_id is 'YouTube''s id of the channel; one row each.';
comment on column thumbrank.channels_with_baselines.channel_title is 'Its name; null once it expired.';
comment on column thumbrank.channels_with_baselines.split is
    'train, validation or test, frozen by a hash of channel_id; null before labels were made.';
comment on column thumbrank.channels_with_baselines.subscriber_count is 'Rounded down to three figures by YouTube; null when hidden.';
comment on column thumbrank.channels_with_baselines.video_count is 'All of its public videos, as YouTube counts them.';
comment on column thumbrank.channels_with_baselines.view_count is 'All of its views, as YouTube counts them.';
comment on column thumbrank.channels_with_baselines.country is 'As its owner says; null where not said.';
comment on column thumbrank.channels_with_baselines.made_for_kids is 'YouTube''s flag; null where unknown.';
comment on column thumbrank.channels_with_baselines.baseline_videos is 'Videos that count, of which the baseline is made.';
comment on column thumbrank.channels_with_baselines.median_log_views_per_hour is 'Median of ln(1 + views per hour).';
comment on column thumbrank.channels_with_baselines.mad_log_views_per_hour is 'Median absolute deviation of ln(1 + views per hour).';
comment on column thumbrank.channels_with_baselines.mean_views_per_hour is 'Mean of views per hour.';
comment on column thumbrank.channels_with_baselines.sd_views_per_hour is 'Standard deviation of views per hour; null below 2 videos.';
comment on column thumbrank.channels_with_baselines.growth is
    'Slope of ln(1 + views) on ln(age): 1 where views grow in step with age, 0 where they have stopped; null below 3 videos.';
comment on column thumbrank.channels_with_baselines.baseline_from is 'Publication of the oldest video that counts.';
comment on column thumbrank.channels_with_baselines.baseline_until is 'Publication of the newest video that counts.';
comment on column thumbrank.channels_with_baselines.baseline_as_of is 'The newest counts in the baseline.';
comment on column thumbrank.channels_with_baselines.source is 'youtube_api, import (a team''s own data set) or simulator (invented).';
comment on column thumbrank.channels_with_baselines.fetched_at is 'When the channel was last read.';
comment on column thumbrank.channels_with_baselines.expires_at is 'When it has to be refreshed or deleted; null: not of the API.';

-- Real click-through rates are their owners' and nobody else's: whoever may read the table sees all of them, everybody
-- else those of the owners whose role thumbrank_owner_<channel id> was granted to them. security_barrier: no condition of
-- a query is tried on the other rows first.
create view thumbrank.owner_reach with (security_barrier) as
    select r.owner_id, r.source, r.video_id, r.first_day, r.last_day, r.impressions, r.click_rate, r.issued_at,
           c.source as channel_source
    from thumbrank.reach_daily r
    left join thumbrank.channels c on c.channel_id = r.owner_id
    where (select has_table_privilege(k.oid, 'select') from pg_class k where k.oid = 'thumbrank.reach_daily'::regclass)
       or r.owner_id in (select substr(o.rolname, length('thumbrank_owner_') + 1) from pg_roles o
                         where starts_with(o.rolname, 'thumbrank_owner_') and pg_has_role(o.oid, 'usage'));
comment on view thumbrank.owner_reach is
    'Real thumbnail impressions and click-through rates, of the owners that the reader was granted. Never add figures of two owners up.';
comment on column thumbrank.owner_reach.owner_id is 'The channel whose owner brought them or consented to them.';
comment on column thumbrank.owner_reach.source is
    'reporting_api (a row a day) or studio (a row a period of an export): of one video and day use one of them, not both.';
comment on column thumbrank.owner_reach.video_id is 'YouTube''s id of the video.';
comment on column thumbrank.owner_reach.first_day is 'First day of the figures, a day in California.';
comment on column thumbrank.owner_reach.last_day is 'Last day of the figures, included.';
comment on column thumbrank.owner_reach.impressions is 'How often the thumbnail was shown on YouTube.';
comment on column thumbrank.owner_reach.click_rate is
    'Clicks / impressions, 0..1; null without impressions. Over several rows: sum(click_rate * impressions) / sum(impressions).';
comment on column thumbrank.owner_reach.issued_at is 'When YouTube made the report, or the file was exported.';
comment on column thumbrank.owner_reach.channel_source is 'Source of the channel''s own row; simulator: invented; null: not collected.';

-- Roles belong to the whole server, and several databases of one may be migrated, also at the same moment.
do $$
begin
    if not exists (select from pg_roles where rolname = 'thumbrank_reader') then
        create role thumbrank_reader nologin;
    end if;
exception
    when duplicate_object or unique_violation then
        null;
    when insufficient_privilege then
        raise notice 'This user may not create roles, so that thumbrank_reader is missing: docs/data-out.md has the statements.';
end $$;

-- No default privileges: they would open tables to come, too, which cannot be told from views. A later view grants itself.
do $$
declare role_name text;
begin
    if exists (select from pg_roles where rolname = 'thumbrank_reader') then
        grant usage on schema thumbrank to thumbrank_reader;
        grant select on thumbrank.videos, thumbrank.pairs, thumbrank.channels_with_baselines, thumbrank.owner_reach
            to thumbrank_reader;
    end if;
    -- The schema is closed to a Data API since the first migration; defaults of the server may have opened these again.
    foreach role_name in array array['anon', 'authenticated'] loop
        if exists (select from pg_roles where rolname = role_name) then
            execute format('revoke all on schema thumbrank from %I', role_name);
            execute format('revoke all on all tables in schema thumbrank from %I', role_name);
        end if;
    end loop;
end $$;
