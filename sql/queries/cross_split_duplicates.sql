-- Labelled videos of some niches that a split above their own has too (place 1 test, 2 validation, 3 train), with the reason:
-- near_duplicate (a picture there differs from theirs in a few of the 64 bits of its hash) or reupload (same title, same length).
-- Parameters: niches; bits that may differ; masks, of which one at least has two hashes equal that differ in no more.
--
-- Both are equality joins and no comparison of all with all. A hash stands once for every split that has it, so that the one of flat
-- pictures, which thousands may share, is no more than another; and the first duplicate ends a search, so that a crowd of hashes
-- that are all near one another is not searched to its end.
with labelled as materialized (
    select l.video_key, array_position(array['test', 'validation', 'train'], c.split) as place, p.phash
    from thumbrank.video_labels l
    join thumbrank.channels c on c.channel_key = l.channel_key
    left join thumbrank.picture_versions p on p.video_key = l.video_key and p.sha256 = l.picture_sha256
    where l.niche = any(%(niches)s::text[])
),
hashes as materialized (
    select phash, min(place) as place from labelled where place < 3 and phash is not null group by phash
),
-- Most crowds are of one hash: they are done with before anything is searched.
same as materialized (
    select distinct p.phash, p.place from labelled p join hashes h using (phash) where h.place < p.place
),
suspects as materialized (
    select distinct phash, place from labelled p
    where place > 1 and phash is not null and not exists (select from same where same.phash = p.phash and same.place = p.place)
),
near as (
    select phash, place from same
    union
    select found.phash, found.place
    from unnest(%(masks)s::bigint[]) as mask
    cross join lateral (
        select s.phash, s.place
        from suspects s
        where exists (
            select from hashes h
            where h.phash & mask = s.phash & mask
              and h.place < s.place
              and bit_count((h.phash # s.phash)::bit(64)) <= %(bits)s
        )
        offset 0 -- One join for each mask: all in one would have to hold ten times the hashes.
    ) found
),
uploads as materialized (
    select video_key, place, t.duration_seconds, length(normal.title) as length, hashtextextended(normal.title, 0) as title
    from labelled
    join thumbrank.thumbnails t using (video_key)
    -- Single spaces, at a quarter of the price of replacing every \s+, which is nearly every word's end. What does not break a line
    -- is no \s in every locale.
    cross join lateral (
        select lower(btrim(regexp_replace(t.title, '[\s\u00a0\u2007\u202f]{2,}|[^\S ]|[\u00a0\u2007\u202f]', ' ', 'g')))
    ) as normal(title)
    where t.duration_seconds is not null and length(t.title) >= 12
),
originals as (
    select title, duration_seconds, min(place) as place from uploads where length >= 12 and place < 3 group by title, duration_seconds
),
duplicates as (
    select p.video_key, 'near_duplicate' as reason from labelled p join near using (phash, place)
    union all
    select u.video_key, 'reupload'
    from uploads u
    cross join unnest(array[-1, 0, 1]) as longer
    join originals o on o.title = u.title and o.duration_seconds = u.duration_seconds + longer and o.place < u.place
    where u.length >= 12 and u.place > 1
)
select distinct on (video_key) video_key, reason from duplicates order by video_key, reason
