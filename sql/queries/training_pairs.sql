-- Same-channel pairs published within the window, labelled by views per hour. Parameters: niche, window_days.
-- Which of the two is `a` is a hash of both ids, so that the order of a pair carries neither time nor outcome.
insert into thumbrank.training_pairs
    (niche, a_key, b_key, channel_key, label, outcome, margin, age_gap_hours, weight)
with items as (
    select t.video_key, t.video_id, t.channel_key, t.published_at,
           s.view_count / (extract(epoch from s.observed_at - t.published_at) / 3600.0)::double precision as vph
    from thumbrank.thumbnails t
    join thumbrank.channels c using (channel_key)
    join thumbrank.latest_snapshots s using (video_key)
    where c.niche = %(niche)s and t.exclusion_reason is null
),
unordered as (
    select x.channel_key, x.video_key as x_key, y.video_key as y_key, x.vph as x_vph, y.vph as y_vph,
           (extract(epoch from x.published_at - y.published_at) / 3600.0)::double precision as gap,
           get_byte(sha256(convert_to(x.video_id || ':' || y.video_id, 'UTF8')), 0) < 128 as x_first
    from items x
    join items y on y.channel_key = x.channel_key and x.video_id < y.video_id
        and y.published_at between x.published_at - make_interval(secs => %(window_days)s * 86400.0)
                               and x.published_at + make_interval(secs => %(window_days)s * 86400.0)
)
select %(niche)s,
       case when x_first then x_key else y_key end,
       case when x_first then y_key else x_key end,
       channel_key,
       'views_per_hour',
       case when x_vph = y_vph then 0.5 when (x_vph > y_vph) = x_first then 1 else 0 end,
       case when greatest(x_vph, y_vph) = 0 then 0 else abs(x_vph - y_vph) / greatest(x_vph, y_vph) end,
       case when x_first then gap else -gap end,
       1.0 / count(*) over (partition by channel_key)
from unordered
