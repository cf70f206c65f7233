"""Synthetic exports as YouTube Studio writes them in seven languages, and as spreadsheets make them worse."""

import csv
import io
from dataclasses import dataclass

SHY, NNBSP = "\u00ad", "\u202f"


@dataclass(frozen=True)
class Words:
    """What one language says, with the columns in that order."""

    columns: str
    total: str
    footer: str
    table_file: str
    order: str = "itpdvwsnr"
    delimiter: str = ","
    decimal: str = "."
    group: str = ""
    percent_sign: str = ""

    @property
    def header(self) -> list[str]:
        return self.columns.split("|")


# i: id, t: title, p: published, d: duration, v: views, w: watch time, s: subscribers, n: impressions, r: click rate,
# e: click rate of end screens, a: day.
WORDS = {
    "en": Words(
        "Content|Video title|Video publish time|Duration|Views|Watch time (hours)|Subscribers|"
        "Impressions|Impressions click-through rate (%)",
        "Total",
        "Showing top 500 results",
        "Table data.csv",
    ),
    "de": Words(
        f"Inhalte|Videotitel|Veröffentlichungs{SHY}zeitpunkt des Videos|Dauer|Aufrufe|"
        f"Impres{SHY}sionen|Klick{SHY}rate der Impres{SHY}sionen (%)|Wieder{SHY}gabe{SHY}zeit (Stunden)|Abon{SHY}nenten",
        f"Ge{SHY}samt",
        "Es werden die ersten 500 Ergebnisse angezeigt",
        "Tabellendaten.csv",
        order="itpdvnrws",
        decimal=",",
        group=".",
    ),
    "pt": Words(
        "Conteúdo|Título do vídeo|Horário de publicação do vídeo|Duração|Impressões de miniaturas|"
        "Taxa de cliques na miniatura (%)|Visualizações|Tempo de exibição (horas)|Inscritos",
        "Total",
        "Mostrando os 500 primeiros resultados",
        "Dados da tabela.csv",
        order="itpdnrvws",
    ),
    "ja": Words(
        "コンテンツ|動画のタイトル|動画公開時刻|長さ|終了画面要素のクリック率 (%)|視聴回数|"
        "総再生時間\uff08単位: 時間\uff09|チャンネル登録者|インプレッション数|インプレッションのクリック率 (%)",
        "合計",
        "上位 500 件の結果を表示しています",
        "表データ.csv",
        order="itpdevwsnr",
    ),
    "es": Words(
        "Contenido|Título del vídeo|Hora de publicación del vídeo|Duración|Visualizaciones|"
        "Tiempo de visualización (horas)|Suscriptores|Porcentaje de clics de las impresiones (%)|Impresiones",
        "Totales",
        "Se muestran los 500 primeros resultados",
        "Datos de la tabla.csv",
        order="itpdvwsrn",
        delimiter=";",
        decimal=",",
        group=".",
    ),
    "fr": Words(
        "Contenu|Titre de la vidéo|Heure de publication de la vidéo|Durée|Vues|"
        "Durée de visionnage (heures)|Abonnés|Impressions|Taux de clics par impression (%)",
        "Total général",
        "Affichage des 500 premiers résultats",
        "Informations relatives aux tableaux.csv",
        delimiter=";",
        decimal=",",
        group=NNBSP,
        percent_sign=f"{NNBSP}%",
    ),
    "ko": Words(
        "콘텐츠|동영상 제목|동영상 게시 시간|길이|조회수|시청 시간(단위: 시간)|구독자|노출수|노출 클릭률 (%)",
        "합계",
        "상위 500개 결과 표시 중",
        "표 데이터.csv",
        group=",",
    ),
}
DATES = {"en": "Date", "de": "Datum", "pt": "Data", "ja": "日付", "es": "Fecha", "fr": "Date", "ko": "날짜"}

# id, impressions, click rate in percent (None: the cell is empty)
VIDEOS = [
    ("dQw4w9WgXcQ", 1234567, 6.58),
    ("-Vabc_def12", 1234, 10.0),
    ("abcdefghijk", 999, 0.05),
    ("noimpressio", 0, None),
]


def grouped(number: int, mark: str) -> str:
    return f"{number:,}".replace(",", mark)


def decimal(number: float | None, words: Words) -> str:
    return "" if number is None else f"{number:g}".replace(".", words.decimal) + words.percent_sign


def cells(words: Words, video: str, title: str, impressions: int, rate: float | None, day: str = "") -> list[str]:
    """A row; an id that begins with a hyphen has the space that protects it from spreadsheets."""
    views = int(impressions * (rate or 0) / 100)
    row = {
        "i": f" {video}" if video.startswith("-") else video,
        "t": title,
        "p": "" if title == "" else "Aug 27, 2026",
        "d": "" if title == "" else "637",
        "v": grouped(views, words.group),
        "w": decimal(12.25, words).removesuffix(words.percent_sign or "\0"),
        "s": "5",
        "n": grouped(impressions, words.group),
        "r": decimal(rate, words),
        "e": "77.7",
        "a": day,
    }
    return [row[key] for key in words.order]


def written(rows: list[list[str]], delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode(encoding)


def export(language: str, videos=VIDEOS, *, footer: bool = True, encoding: str = "utf-8") -> bytes:
    """A table as Studio writes it in that language: header, total, videos, and the remark after 500 rows."""
    words = WORDS[language]
    rows = [words.header, cells(words, words.total, "", 1236800, 6.58)]
    rows += [cells(words, video, f"Title, of {video}", shown, rate) for video, shown, rate in videos]
    rows += [[words.footer]] if footer else []
    return written(rows, words.delimiter, encoding)


def simple(*rows: str, header: str = "Content,Impressions,Impressions click-through rate (%)") -> bytes:
    """A small English file; the header and each row as one line."""
    return "\n".join([header, *rows, ""]).encode()
