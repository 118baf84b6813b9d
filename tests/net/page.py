#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The stats page in a real browser, a step for each line of standard input.

page.py URL PROFILE-DIRECTORY
    reads lines of JSON, [STEP, ARGUMENTS...], and answers each with a line of JSON:
    true (or what was asked for), or {"error": sentence}

A step that waits for what the page shows does so until it is there, with a bound.
"""
import json
import os
import sys
import time

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys

PATIENCE = 20 * float(os.environ.get("TUNDISH_TEST_SLOW", "1"))

# What is in a table: each row's cells by their heading, the first one as "#" too. Open rows belong
# to the one above and are not among them.
TABLE = """
const t = document.querySelector(arguments[0] + ' table');
if (!t) return [];
const heads = [...t.tHead.rows[0].cells].map((c) => c.textContent);
return [...t.tBodies[0].children].filter((r) => !r.classList.contains('open')).map((r) =>
    Object.fromEntries([['#', r.children[0].textContent], ...[...r.children].map((c, i) => [heads[i], c.textContent])]));
"""


def browser(profile):
    options = webdriver.ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-background-networking",
                 "user-data-dir=" + profile, "window-size=1280,900"):
        options.add_argument("--" + flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)


class Page:
    def __init__(self, url, profile):
        self.url = url
        self.b = browser(profile)

    def open(self, after=""):
        self.b.get("about:blank")
        self.b.get(self.url + after)
        return self.wait("return document.getElementById('live').textContent === 'live'")

    def wait(self, script, *arguments):
        """Until the script's answer is true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.b.execute_script(script, *arguments):
                return True
            time.sleep(0.1)
        return False

    def run(self, script, *arguments):
        return self.b.execute_script(script, *arguments)

    def rows(self, place):
        return self.b.execute_script(TABLE, place)

    def click(self, selector):
        self.b.find_element("css selector", selector).click()
        return True

    def click_text(self, selector, text):
        for e in self.b.find_elements("css selector", selector):
            if e.text == text:
                e.click()
                return True
        return False

    def keys(self, *keys):
        """Where the focus is."""
        for key in keys:
            self.b.switch_to.active_element.send_keys(getattr(Keys, key, key))
        return True

    def type(self, selector, text):
        e = self.b.find_element("css selector", selector)
        e.clear()
        e.send_keys(text)
        return True

    def size(self, width, height):
        self.b.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
        return True

    def scheme(self, name):
        self.b.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]})
        return True

    def shot(self, path):
        return self.b.save_screenshot(path)

    def tree(self):
        """Roles and names, as a screen reader is told them."""
        nodes = self.b.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        told = [[n.get("role", {}).get("value"), n.get("name", {}).get("value")] for n in nodes if not n.get("ignored")]
        return [n for n in told if n[0] not in ("StaticText", "InlineTextBox")]

    def log(self):
        """What the browser complained of, but for an answer that says no."""
        return [e["message"] for e in self.b.get_log("browser") if "Failed to load resource" not in e["message"]]


def main():
    page = Page(sys.argv[1], sys.argv[2])
    try:
        print("true", flush=True)
        for line in sys.stdin:
            step, *arguments = json.loads(line)
            try:
                answer = getattr(page, step)(*arguments)
            except Exception as e:  # a sentence for the scenario, whatever it was
                answer = {"error": str(e).split("\n")[0]}
            print(json.dumps(answer), flush=True)
    finally:
        page.b.quit()


main()
