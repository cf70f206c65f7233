"""The service's own tables: video categories, languages, regions. An excerpt of names; the codes are complete."""

from thumbrank_core.simulator.api_errors import Json

NICHE_CATEGORIES = {
    "tech": "28",
    "gaming": "20",
    "education": "27",
    "entertainment": "24",
    "beauty": "26",
    "news": "25",
}
"""The category of every video of a niche."""

NICHE_TOPICS = {
    "tech": "Technology",
    "gaming": "Video_game_culture",
    "education": "Knowledge",
    "entertainment": "Entertainment",
    "beauty": "Physical_attractiveness",
    "news": "Politics",
}
"""The Wikipedia page of a niche's topic."""

_CATEGORY_OWNER = "UCBR8-60-B28hp2BmDPdntcQ"

_CATEGORIES: dict[str, tuple[str, bool]] = {
    "1": ("Film & Animation", True),
    "2": ("Autos & Vehicles", True),
    "10": ("Music", True),
    "15": ("Pets & Animals", True),
    "17": ("Sports", True),
    "18": ("Short Movies", False),
    "19": ("Travel & Events", True),
    "20": ("Gaming", True),
    "21": ("Videoblogging", False),
    "22": ("People & Blogs", True),
    "23": ("Comedy", True),
    "24": ("Entertainment", True),
    "25": ("News & Politics", True),
    "26": ("Howto & Style", True),
    "27": ("Education", True),
    "28": ("Science & Technology", True),
    "29": ("Nonprofits & Activism", True),
    "30": ("Movies", False),
    "44": ("Trailers", False),
}
_LANGUAGE_NAMES = {
    "ar": "Arabic",
    "de": "German",
    "en": "English",
    "en-GB": "English (United Kingdom)",
    "es": "Spanish (Spain)",
    "fr": "French",
    "hi": "Hindi",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese (Brazil)",
    "ru": "Russian",
    "sv": "Swedish",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "zh-CN": "Chinese",
    "zh-TW": "Chinese (Taiwan)",
}
_REGION_NAMES = {
    "AU": "Australia",
    "BR": "Brazil",
    "CA": "Canada",
    "DE": "Germany",
    "ES": "Spain",
    "FR": "France",
    "GB": "United Kingdom",
    "ID": "Indonesia",
    "IE": "Ireland",
    "IN": "India",
    "IT": "Italy",
    "JP": "Japan",
    "KR": "South Korea",
    "MX": "Mexico",
    "NL": "Netherlands",
    "NZ": "New Zealand",
    "PL": "Poland",
    "SE": "Sweden",
    "US": "United States",
    "ZA": "South Africa",
}


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


REGION_CODES = _codes(
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC "
    "CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD "
    "GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH "
    "KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW "
    "MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC "
    "SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY "
    "UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
)
"""ISO 3166-1 alpha-2: what `regionCode` may be."""

LANGUAGE_CODES = _codes(
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo "
    "es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg "
    "ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn "
    "no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta "
    "te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zh-Hans zh-Hant zu"
)
"""ISO 639-1 and the two scripts of Chinese: what `relevanceLanguage` may be."""


def category_bodies(ids: list[str]) -> list[Json]:
    """The categories with these ids, all of them for none."""
    return [
        {"id": key, "snippet": {"title": title, "assignable": assignable, "channelId": _CATEGORY_OWNER}}
        for key, (title, assignable) in _CATEGORIES.items()
        if not ids or key in ids
    ]


def language_bodies() -> list[Json]:
    """The languages of the site's interface."""
    return [{"id": code, "snippet": {"hl": code, "name": name}} for code, name in _LANGUAGE_NAMES.items()]


def region_bodies() -> list[Json]:
    """The regions that have a site of their own."""
    return [{"id": code, "snippet": {"gl": code, "name": name}} for code, name in _REGION_NAMES.items()]
