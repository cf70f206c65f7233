-- What is usual for each channel of a niche, over the videos that count. Parameter: niche.
-- Sums are taken in the order in which videos arrived, which is never twice the same: six decimals of them are sure.
insert into thumbrank.channel_baselines
    (channel_key, niche, video_count, median_log_vph, mad_log_vph, mean_vph, sd_vph, growth,
     first_published_at, last_published_at, as_of)
with items as (
    select c.channel_key, c.niche, t.published_at, s.observed_at, s.view_count,
           (extract(epoch from s.observed_at - t.published_at) / 3600.0)::double precision as age_hours
    from thumbrank.thumbnails t
    join thumbrank.channels c using (channel_key)
    join thumbrank.latest_snapshots s using (video_key)
    where c.niche = %(niche)s and t.exclusion_reason is null
),
rates as (
    select *, view_count / greatest(age_hours, 1) as vph from items
),
medians as (
    select channel_key, percentile_cont(0.5) within group (order by ln(1 + vph)) as median_log_vph
    from rates group by channel_key
)
select channel_key, min(niche), count(*), min(median_log_vph),
       percentile_cont(0.5) within group (order by abs(ln(1 + vph) - median_log_vph)),
       round(avg(vph)::numeric, 6), round(stddev_samp(vph)::numeric, 6),
       case when count(*) >= 3
            then round(regr_slope(ln(1.0::float8 + view_count), ln(greatest(age_hours, 1)))::numeric, 6) end,
       min(published_at), max(published_at), max(observed_at)
from rates join medians using (channel_key)
group by channel_key
