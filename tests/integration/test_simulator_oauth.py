"""The simulator's sign-in: as strict as Google where a client can go wrong, and its tokens open what they should."""

import base64
import hashlib
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from thumbrank_core.simulator.oauth import CLIENT_ID, CLIENT_SECRET

VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
BACK = "http://127.0.0.1:9/"
ASKED = {
    "client_id": CLIENT_ID,
    "redirect_uri": BACK,
    "response_type": "code",
    "scope": "a b",
    "state": "s",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
    "access_type": "offline",
    "prompt": "consent",
}


@pytest.fixture
def http(google):
    with httpx.Client(base_url=google.endpoint) as client:
        yield client


@pytest.fixture
def owner(owned_world):
    return owned_world.channels[0].id


def consent(http, owner, **changes):
    answer = http.get("/o/oauth2/auth", params={**ASKED, **changes, "channel_id": owner})
    assert answer.status_code == 302
    return {name: found[0] for name, found in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def token(http, secret=CLIENT_SECRET, **values):
    answer = http.post("/token", data={"client_id": CLIENT_ID, "client_secret": secret, **values})
    return answer.status_code, answer.json()


def exchange(http, good_code, **changes):
    values = {"grant_type": "authorization_code", "code": good_code, "redirect_uri": BACK, "code_verifier": VERIFIER}
    return token(http, **values | changes)


def jobs(http, access):
    return http.get("/v1/jobs", headers={"Authorization": f"Bearer {access}"}).status_code


def test_a_code_is_good_once_and_gives_tokens_that_open_the_owner_s_channel(http, owner):
    found = consent(http, owner)
    assert found["state"] == "s"
    status, tokens = exchange(http, found["code"])
    assert (status, tokens["expires_in"], tokens["scope"]) == (200, 3599, "a b")
    assert exchange(http, found["code"]) == (
        400,
        {"error": "invalid_grant", "error_description": "Malformed auth code."},
    )
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    mine = http.get("/youtube/v3/channels", params={"part": "snippet", "mine": "true"}, headers=headers).json()
    assert [item["id"] for item in mine["items"]] == [owner]
    assert jobs(http, tokens["access_token"]) == 200


@pytest.mark.parametrize(
    "changes", [{"code_verifier": "w" * 64}, {"redirect_uri": "http://127.0.0.1:8/"}, {"code": "4/guessed"}]
)
def test_a_code_serves_only_who_asked_for_it(http, owner, changes):
    assert exchange(http, consent(http, owner)["code"], **changes)[1]["error"] == "invalid_grant"


def test_a_code_ends_after_ten_minutes(http, google, owner):
    code = consent(http, owner)["code"]
    google.clock.advance(timedelta(minutes=11))
    assert exchange(http, code)[1]["error"] == "invalid_grant"


def test_a_wrong_secret_is_no_client(http, owner):
    assert token(http, secret="wrong", grant_type="refresh_token")[1]["error"] == "invalid_client"


def test_only_the_first_consent_gives_a_refresh_token_unless_it_is_asked_again(http, owner):
    assert "refresh_token" in exchange(http, consent(http, owner, prompt="")["code"])[1]
    assert "refresh_token" not in exchange(http, consent(http, owner, prompt="")["code"])[1]
    assert "refresh_token" in exchange(http, consent(http, owner)["code"])[1]
    assert "refresh_token" not in exchange(http, consent(http, owner, access_type="online")["code"])[1]


def test_an_access_token_ends_after_an_hour_and_a_refresh_token_gives_another(http, google, owner):
    _, tokens = exchange(http, consent(http, owner)["code"])
    google.clock.advance(timedelta(seconds=3599))
    assert jobs(http, tokens["access_token"]) == 401
    _, fresh = token(http, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert "refresh_token" not in fresh
    assert jobs(http, fresh["access_token"]) == 200


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_a_revoked_consent_ends_every_token_of_its_owner_and_of_no_other(http, owner, owned_world, kind):
    _, tokens = exchange(http, consent(http, owner)["code"])
    _, others = exchange(http, consent(http, owned_world.channels[1].id)["code"])
    assert http.post("/revoke", data={"token": tokens[kind]}).status_code == 200
    again = http.post("/revoke", data={"token": tokens[kind]})
    assert (again.status_code, again.json()["error"]) == (400, "invalid_token")
    assert jobs(http, tokens["access_token"]) == 401
    refused = token(http, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert (refused[0], refused[1]["error"]) == (400, "invalid_grant")
    assert jobs(http, others["access_token"]) == 200


@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        ({"client_id": "other"}, "invalid_client"),
        ({"redirect_uri": "https://evil.example/"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "http://evil.example/"}, "redirect_uri_mismatch"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": ""}, "invalid_request"),
    ],
)
def test_a_request_that_is_wrong_is_a_page_and_never_a_redirect(http, owner, changes, trouble):
    answer = http.get("/o/oauth2/auth", params={**ASKED, **changes, "channel_id": owner})
    assert answer.status_code == 400
    assert trouble in answer.text


def test_the_page_lists_channels_and_a_way_out(http, owner):
    page = http.get("/o/oauth2/auth", params=ASKED)
    assert page.status_code == 200
    assert owner in page.text
    assert consent(http, "none") == {"state": "s", "error": "access_denied"}


def test_mine_needs_an_owner_s_token_and_costs_its_unit(http):
    answer = http.get("/youtube/v3/channels", params={"part": "snippet", "mine": "true", "key": "k"})
    assert answer.status_code == 401
    headers = {"Authorization": "Bearer nobody"}
    assert http.get("/youtube/v3/channels", params={"part": "id", "mine": "true"}, headers=headers).status_code == 401
