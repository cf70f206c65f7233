"""The words of YouTube Studio's exports in seven languages: headers, total rows, names of the table's file; and which
column of a file is which of ours.

What belongs here: words, and how they are compared. What does not: what stands in the cells (studio_values.py).

A header is compared after `plain`: Unicode NFKC, case folded, without soft hyphens, with one kind of space and without
its unit. Nothing is guessed from a part of a word: Studio also exports the click rates of end screens, cards and teasers, and
the impressions of advertisements, and their names hold the same words.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from thumbrank_core.imports.columns import ColumnError

Ours = Literal["video_id", "impressions", "click_rate", "date"]
OURS: tuple[Ours, ...] = get_args(Ours)

# Since the summer of 2026 Studio says "thumbnail impressions" where it said "impressions"; both are in use.
HEADERS: dict[Ours, dict[str, tuple[str, ...]]] = {
    "video_id": {
        "en": ("Content", "Video", "Video ID", "video_id"),
        "de": ("Inhalte", "Inhalt", "Videos", "Video-ID"),
        "pt": ("Conteúdo", "Vídeo", "ID do vídeo"),
        "ja": ("コンテンツ", "動画", "動画 ID", "動画ID"),
        "es": ("Contenido", "Vídeo", "ID del vídeo", "ID del video"),
        "fr": ("Contenu", "Contenus", "Vidéo", "ID de la vidéo"),
        "ko": ("콘텐츠", "동영상", "동영상 ID"),
    },
    "impressions": {
        "en": ("Impressions", "Thumbnail impressions"),
        "de": ("Impressionen", "Thumbnail-Impressionen", "Impressionen des Thumbnails"),
        "pt": ("Impressões", "Impressões de miniaturas", "Impressões da miniatura"),
        "ja": (
            "インプレッション数",
            "インプレッション",
            "サムネイルのインプレッション",
            "サムネイルのインプレッション数",
        ),
        "es": ("Impresiones", "Impresiones de miniaturas", "Impresiones de la miniatura"),
        "fr": ("Impressions", "Impressions de miniatures", "Impressions des miniatures", "Impressions de la miniature"),
        "ko": ("노출수", "노출 수", "썸네일 노출수", "미리보기 이미지 노출수"),
    },
    "click_rate": {
        "en": (
            "Impressions click-through rate",
            "Impression click-through rate",
            "Impressions CTR",
            "Thumbnail click-through rate",
            "Thumbnail impressions click-through rate",
        ),
        "de": ("Klickrate der Impressionen", "Klickrate für Impressionen", "Thumbnail-Klickrate"),
        "pt": (
            "Taxa de cliques de impressões",
            "Taxa de cliques das impressões",
            "Taxa de cliques na miniatura",
            "Taxa de cliques nas miniaturas",
        ),
        "ja": ("インプレッションのクリック率", "サムネイルのクリック率"),
        "es": (
            "Porcentaje de clics de las impresiones",
            "Tasa de clics de las impresiones",
            "CTR de las impresiones",
            "Tasa de clics de las miniaturas",
            "Porcentaje de clics de las miniaturas",
        ),
        "fr": (
            "Taux de clics par impression",
            "Taux de clics par impressions",
            "Taux de clics des impressions",
            "Taux de clics sur les miniatures",
            "Taux de clics des miniatures",
        ),
        "ko": ("노출 클릭률", "노출수 클릭률", "썸네일 클릭률", "미리보기 이미지 클릭률"),
    },
    "date": {
        "en": ("Date", "Day"),
        "de": ("Datum", "Tag"),
        "pt": ("Data", "Dia"),
        "ja": ("日付", "日"),
        "es": ("Fecha", "Día"),
        "fr": ("Date", "Jour"),
        "ko": ("날짜", "일"),
    },
}

_TITLES = (
    "Video title",
    "Videotitel",
    "Título do vídeo",
    "動画のタイトル",
    "動画タイトル",
    "Título del vídeo",
    "Título del video",
    "Titre de la vidéo",
    "동영상 제목",
    "Title",
    "Titel",
)
TOTALS = (
    "Total",
    "Totals",
    "Grand total",
    "Gesamt",
    "Insgesamt",
    "Summe",
    "Gesamtsumme",
    "Gesamtwert",
    "Gesamtwerte",
    "Total geral",
    "Totais",
    "合計",
    "総計",
    "合計値",
    "Totales",
    "Total general",
    "Total général",
    "Totaux",
    "합계",
    "총계",
    "총합계",
    "전체",
)
TABLE_FILES = (
    "Table data.csv",
    "Tabellendaten.csv",
    "Dados da tabela.csv",
    "表データ.csv",
    "Datos de la tabla.csv",
    "Données du tableau.csv",
    "Informations relatives aux tableaux.csv",
    "표 데이터.csv",
)

# What a person may have meant, for the sentence that lists candidates. Never used to choose a column.
_RATE_WORDS = ("click-through", "click rate", "ctr", "klickrate", "taxa de cliques", "クリック率", "clics", "클릭률")
_SHOWN_WORDS = ("impression", "impressões", "impresiones", "インプレッション", "노출")
_OF_OTHERS = (
    "end screen",
    "endscreen",
    "abspann",
    "endcard",
    "tela final",
    "telas finais",
    "終了画面",
    "pantalla final",
    "pantallas finales",
    "écran de fin",
    "écrans de fin",
    "최종 화면",
    "card",
    "infokarte",
    "cartão",
    "cartões",
    "カード",
    "tarjeta",
    "fiche",
    "카드",
    "teaser",
    "ティーザー",
    "annotation",
    "anmerkung",
    "ad impressions",
    "anzeigen",
    "anúncio",
    "広告",
    "anuncio",
    "annonce",
    "publicit",
    "광고",
)

_DROPPED = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_UNIT = re.compile(r"\s*(\(\s*(in\s+)?%\s*\)|%)$")


def plain(text: str) -> str:
    """A header, label or file name as it is compared: NFKC, case folded, without soft hyphens, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).translate(_DROPPED).casefold().split())


def _key(header: str) -> str:
    return _UNIT.sub("", plain(header))


_BY_NAME: dict[Ours, frozenset[str]] = {
    ours: frozenset({_key(name) for names in languages.values() for name in names} | {ours})
    for ours, languages in HEADERS.items()
}
_TITLE_KEYS = frozenset(map(_key, _TITLES))
_TOTAL_KEYS = frozenset(map(plain, TOTALS))
_TABLE_FILE_KEYS = frozenset(map(plain, TABLE_FILES))


@dataclass(frozen=True)
class Columns:
    """Where our columns stand in a row, from 0. `in_percent`: the header of the click rate says that it is one."""

    video_id: int
    impressions: int
    click_rate: int
    date: int | None
    title: int | None
    in_percent: bool


def is_total(label: str) -> bool:
    """Whether a row of this label sums up the others."""
    return plain(label) in _TOTAL_KEYS


def is_table_file(name: str) -> bool:
    """Whether Studio gives this name to the file with the table."""
    return plain(name) in _TABLE_FILE_KEYS


def recognised(header: Sequence[str], mapping: Mapping[str, str]) -> frozenset[Ours]:
    """Which of our columns this row of a file names: what tells the header, its delimiter and its encoding."""
    keys, cells = {_key(cell) for cell in header}, {plain(cell) for cell in header}
    mapped = {ours for theirs, ours in mapping.items() if plain(theirs) in cells}
    return frozenset(ours for ours in OURS if ours in mapped or keys & _BY_NAME[ours])


def resolve_studio(header: Sequence[str], mapping: Mapping[str, str]) -> Columns:
    """Which column is which.

    Args:
        header: the cells of the first row.
        mapping: theirs -> ours, as given with --map; it goes before what Studio's words say.

    Raises:
        ColumnError: a column is missing, cannot be told for sure (the candidates are listed), or the map names what is
            not there, or what counts clicks on end screens, cards or advertisements.
    """
    found: dict[Ours, int] = _mapped(header, mapping)
    for ours in OURS:
        if ours in found:
            continue
        taken = set(found.values())
        places = [i for i, cell in enumerate(header) if _key(cell) in _BY_NAME[ours] and i not in taken]
        if len(places) > 1:
            raise ColumnError(
                f"it has {len(places)} columns that may be {ours} ({_named(header, places)}): say which one it is with "
                f"--map THEIRS={ours}."
            )
        if places:
            found[ours] = places[0]
        elif ours != "date":
            raise ColumnError(_missing(header, ours, taken))
    titles = [i for i, cell in enumerate(header) if _key(cell) in _TITLE_KEYS]
    return Columns(
        found["video_id"],
        found["impressions"],
        found["click_rate"],
        found.get("date"),
        titles[0] if len(titles) == 1 else None,
        "%" in plain(header[found["click_rate"]]),
    )


def _mapped(header: Sequence[str], mapping: Mapping[str, str]) -> dict[Ours, int]:
    found: dict[Ours, int] = {}
    for theirs, name in mapping.items():
        places = [i for i, cell in enumerate(header) if plain(cell) == plain(theirs)]
        ours: Ours | None = next((known for known in OURS if known == name), None)
        if ours is None:
            raise ColumnError(f"--map {theirs}={name}: '{name}' is not one of our columns ({', '.join(OURS)}).")
        if not places:
            raise ColumnError(f"--map {theirs}={name}: it has no column '{theirs}' (it has {_named(header)}).")
        if len(places) > 1:
            raise ColumnError(
                f"--map {theirs}={name}: {len(places)} of its columns are called that; rename one of them."
            )
        if ours in ("impressions", "click_rate") and _of_others(theirs):
            raise ColumnError(
                f"--map {theirs}={name}: that column is of end screens, cards or advertisements, not of thumbnails; name another."
            )
        found[ours] = places[0]
    return found


def _missing(header: Sequence[str], ours: Ours, taken: Iterable[int]) -> str:
    words: dict[Ours, tuple[str, ...]] = {"click_rate": _RATE_WORDS, "impressions": _SHOWN_WORDS}
    like = [
        i
        for i, cell in enumerate(header)
        if i not in taken
        and any(word in plain(cell) for word in words.get(ours, ()))
        and not _of_others(cell)
        # "Impressions click-through rate" has the word, and is no count of impressions.
        and (ours == "click_rate" or not any(word in plain(cell) for word in _RATE_WORDS))
    ]
    if like:
        return f"it has no column that is {ours} for sure (perhaps {_named(header, like)}): say which with --map THEIRS={ours}."
    example = HEADERS[ours]["en"][0]
    return (
        f"it has no column {ours} (Studio's '{example}'; it has {_named(header)}): export the table of the tab Content with "
        f"that column, or say which it is with --map THEIRS={ours}."
    )


def _of_others(header: str) -> bool:
    return any(word in plain(header) for word in _OF_OTHERS)


def _named(header: Sequence[str], places: Sequence[int] | None = None) -> str:
    chosen = list(range(len(header))) if places is None else list(places)
    shown = ", ".join(f"'{' '.join(header[i].split())[:60]}'" for i in chosen[:12])
    return shown + (f" and {len(chosen) - 12} more" if len(chosen) > 12 else "")
