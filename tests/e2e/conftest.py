"""What the end-to-end tests share: a browser."""

import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ["--disable-background-networking", "--disable-component-update", "--no-first-run"]


@pytest.fixture(scope="module")
def chromium():
    """Chromium without a window: Playwright's own, or the machine's."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make setup")
    with sync_api.sync_playwright() as playwright:
        program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
        try:
            browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        except sync_api.Error as error:
            pytest.skip(
                "THESE PAGES WERE SEEN IN NO BROWSER: there is no Chromium here (apt-get install chromium, or playwright "
                f"install chromium): {str(error).splitlines()[0]}"
            )
        yield browser
        browser.close()
