"""docs/labels.md says which reason a video gets, so its table has every criterion once and in the order they are asked."""

import re
from pathlib import Path

from thumbrank_core.labels.criteria import CRITERIA

PAGE = Path(__file__).parents[2] / "docs" / "labels.md"


def test_the_table_of_reasons_has_the_order_in_which_they_are_asked():
    table = PAGE.read_text(encoding="utf-8").partition("| reason |")[2].partition("\n\n")[0]
    reasons = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert reasons == [criterion.name for criterion in CRITERIA]
