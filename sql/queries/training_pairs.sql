-- Same-channel pairs of a niche's labelled videos, in the columns of thumbrank.training_pairs.
-- Parameters: niche, window_days, later_partners (null: no cap), tau, drop_ties, min_margin.
--
-- Videos are numbered by channel, regime and publication, so that the partners of a video are the numbers that follow its own: one
-- hash probe a pair, and nothing is looked at that is no pair. Which of the two is `a` is a hash of both public ids.
with labelled as (
    select l.video_key, l.channel_key, l.niche, l.regime, l.value, t.video_id collate "C" as video_id, t.published_at,
           c.split = 'train' as trains
    from thumbrank.video_labels l
    join thumbrank.thumbnails t using (video_key)
    join thumbrank.channels c on c.channel_key = l.channel_key
    where l.niche = %(niche)s
),
numbered as (
    select *, row_number() over (order by channel_key, regime, published_at, video_id) as number from labelled
),
ranged as (
    select *,
           least(
               %(later_partners)s::bigint,
               -- The last video inside the window, equal moments included.
               last_value(number) over (
                   partition by channel_key, regime order by published_at
                   range between current row and make_interval(secs => %(window_days)s * 86400.0) following
               ) - number
           ) as partners
    from numbered
),
items as materialized (
    select number, partners, video_key, channel_key, niche, trains, value,
           -- Half the log-odds of winning; tanh takes any of it, where exp would overflow or underflow. 0 loses against all but 0.
           case when value > 0 then ln(value) / (2 * %(tau)s::double precision) else -1e300 end as strength,
           date_part('epoch', published_at) / 3600 as hours,
           hashtextextended(video_id, 0) as hash,
           (1 / nullif(sum(partners::double precision) over (partition by channel_key), 0))::real as weight
    from ranged
),
pairs as not materialized (
    select x.channel_key, x.niche, x.weight, x.video_key as x_key, y.video_key as y_key, x.value as x_value, y.value as y_value,
           x.strength - y.strength as x_lead, x.hours - y.hours as x_gap,
           (x.hash < y.hash) = (hashint8extended(x.hash # y.hash, 0) & 1 = 0) as x_first
    from (select number + generate_series(1, partners) as partner, * from items) x
    join items y on y.number = x.partner
    where (not %(drop_ties)s or x.value <> y.value)
      and (%(min_margin)s = 0 or not x.trains
           or abs(x.value - y.value) / greatest(x.value, y.value, 2.3e-308) >= %(min_margin)s::double precision)
    offset 0 -- Keeps x_first from being computed anew in each of the five columns that ask for it.
),
-- Counted only where some pairs are left out; otherwise nothing refers to it, and the planner leaves it out.
kept as (
    select channel_key, (1.0 / count(*))::real as weight from pairs group by channel_key
)
select case when x_first then x_key else y_key end as a_key,
       case when x_first then y_key else x_key end as b_key,
       channel_key,
       case when x_value = y_value then 0.5::real when (x_value > y_value) = x_first then 1::real else 0::real end as outcome,
       -- The smallest normal number only stands in for 0: two labels of 0 differ by 0.
       (abs(x_value - y_value) / greatest(x_value, y_value, 2.3e-308))::real as margin,
       (0.5 + 0.5 * tanh(case when x_first then x_lead else -x_lead end))::real as soft_target,
       (case when x_first then x_gap else -x_gap end)::real as age_gap_hours,
       case when %(drop_ties)s or %(min_margin)s > 0 then kept.weight else pairs.weight end as weight,
       niche
from pairs
left join kept using (channel_key)
