"""What could not be had, counted, for the tests of what writes `misses`."""


def miss_counts(connection, niche, kind):
    """Misses of one kind by reason, most frequent first."""
    return dict(
        connection.execute(
            "select reason, count(*)::int from thumbrank.misses where niche = %s and kind = %s "
            "group by reason order by count(*) desc, reason",
            (niche, kind),
        ).fetchall()
    )
