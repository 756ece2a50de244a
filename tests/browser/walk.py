"""An operator's morning on the console, in a real browser against the real program.

Owns the walk: sign in, find what needs a person, claim a task, close it falsely, close it truly, have
a manifest approved by a second person, replay a dead letter, look at a plot; on each page the rules of
axe-core, light and dark, wide and narrow, and the browser's own complaints. Starts no program but the
browser; `tests/integration/console.rs` starts Clawback and says where things are.

usage: walk.py FILE   (JSON: url, users, folder, by_hand, shots, axe, chromium)
"""
import json
import os
import re
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from browser import Browser, Failure  # noqa: E402  (found only after sys.path is set)

LOOKS = {"light-wide": (1280, 900, False), "dark-wide": (1280, 900, True),
         "light-narrow": (390, 844, False), "dark-narrow": (390, 844, True)}
# WCAG 2.2 AA and what axe calls best practice.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


class Walk:
    def __init__(self, given):
        self.given, self.findings, self.looked = given, [], 0
        with open(given["axe"], encoding="utf-8") as file:
            self.axe = file.read()
        self.browser = Browser(given["chromium"])

    def say(self, text):
        print(text, flush=True)

    def look(self, page, name):
        """The page in each look: a picture, and what axe finds."""
        for look, (width, height, dark) in LOOKS.items():
            page.look(width, height, dark)
            # Colours change gently; axe must see the end of it.
            page.run("document.getAnimations().forEach((one) => one.finish())")
            page.shot(os.path.join(self.given["shots"], f"{name}-{look}.png"))
            page.run(self.axe + "; true")
            found = page.run(f"axe.run(document, {{runOnly: {json.dumps(RULES)}}}).then((all) => all.violations)"
                             ".then((all) => all.map((one) => one.id + ': ' + one.help + ' | ' + "
                             "one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + ' ' + "
                             "(node.any[0] ? node.any[0].message : '')).join(' | ')))")
            self.findings += [f"{name} {look}: {one}" for one in found]
            wide = page.run("document.documentElement.scrollWidth - window.innerWidth")
            if wide > 0:
                self.findings.append(f"{name} {look}: {wide} pixels wider than the window")
            self.looked += 1
        page.look()

    def sign_in(self, who):
        page = self.browser.page()
        page.goto(self.given["url"] + "/tasks")
        if "/sign-in?next=/tasks" not in page.run("location.href"):
            raise Failure("a page without sign-in leads to the sign-in page")
        if who == "demo":
            self.look(page, "sign-in")
            page.type("#name", who)
            page.type("#password", "wrong wrong wrong")
            page.click("form.stack button")
            page.until("it is refused", "document.body.innerText.includes('Not signed in')")
        page.type("#name", who)
        page.type("#password", self.given["users"][who])
        page.click("form.stack button")
        page.until("it leads back", "location.pathname === '/tasks' && !!document.querySelector('h1')")
        return page

    def goto(self, page, path):
        page.goto(self.given["url"] + path)

    def told(self, page, words, well):
        kind = "well" if well else "ill"
        page.until(f"it tells `{words}`", f"!!document.querySelector('.told.{kind}') && "
                   f"document.querySelector('.told.{kind}').innerText.includes({json.dumps(words)})")

    def walk(self):
        demo = self.sign_in("demo")
        self.say("signed in")
        task, account, path = self.find_task(demo)
        self.morning(demo)
        self.close(demo, path, account)
        self.case(demo, task)
        self.approve(demo)
        self.replay(demo)
        self.plot(demo)
        self.rest(demo)
        self.keys(demo)

    def find_task(self, page):
        """A task at the CRM, which lies, so that the machine could not prove its work."""
        end = time.monotonic() + 180
        while True:
            self.goto(page, "/tasks?connector=crm")
            rows = page.run("[...document.querySelectorAll('table.rows tbody tr')].map((row) => "
                            "[row.querySelector('a').getAttribute('href'), row.innerText])")
            for href, text in rows or []:
                account = re.search(r"\((mem_[^)]+)\)", text)
                if account and "OPEN" in text.upper():
                    return text, account.group(1), href
            if time.monotonic() > end:
                raise Failure(f"no task at the CRM came up: {page.text()[:2000]}")
            time.sleep(1)

    def morning(self, page):
        self.goto(page, "/")
        page.until("what needs a person comes first", "!!document.querySelector('.urgent li')")
        self.look(page, "overview")
        self.goto(page, "/tasks")
        self.look(page, "tasks")
        self.goto(page, "/cases?open=true")
        self.look(page, "cases")
        self.say("what needs a person is first")

    def close(self, page, path, account):
        self.goto(page, path)
        self.look(page, "task-open")
        page.click("form[action$='/claim'] button")
        self.told(page, "the task is yours", True)
        page.type("#note", "removed in the admin screen")
        page.click("form[action$='/close'] button")
        self.told(page, "the task comes back", False)
        self.look(page, "task-sent-back")
        self.say("a false close came back: " + page.run("document.querySelector('.told').innerText"))
        # Now the CRM's administrator really does it.
        urllib.request.urlopen(urllib.request.Request(self.given["by_hand"].replace("ID", account), method="POST"))
        if page.run("!!document.querySelector(\"form[action$='/claim']\")"):
            page.click("form[action$='/claim'] button")
        page.type("#note", "removed by the CRM's administrator")
        page.click("form[action$='/close'] button")
        self.told(page, "closed", True)
        page.until("it is proved", "document.querySelector('.lead').innerText.toLowerCase().includes('proved')")
        self.look(page, "task-proved")
        self.say("a true close is proved: " + page.run("document.querySelector('.told').innerText"))
        case = page.run("document.querySelector('.facts a[href^=\"/cases/\"]').getAttribute('href')")
        self.found = case

    def case(self, page, _task):
        self.goto(page, self.found)
        page.until("the ladder is drawn", "document.querySelectorAll('svg.ladder').length > 0")
        name = page.run("document.querySelector('h1').innerText")
        self.look(page, "case")
        # The search finds it by name.
        self.goto(page, "/cases")
        page.type("#search", name)
        page.click("form[role=search] button")
        page.until("the search finds it", f"!!document.querySelector('a[href=\"{self.found}\"]')")
        self.say(f"the case of {name} is found")

    def approve(self, page):
        """Somebody widens a manifest's file; one person proposes it, another approves exactly it."""
        file = os.path.join(self.given["folder"], "connectors", "crm.toml")
        with open(file, encoding="utf-8") as text:
            manifest = text.read()
        changed = re.sub(r"concurrency = \d+", "concurrency = 9", manifest)
        if changed == manifest:
            raise Failure("the CRM's manifest has no concurrency to change")
        with open(file, "w", encoding="utf-8") as text:
            text.write(changed)
        self.goto(page, "/approvals/crm")
        page.type("input[id$=propose]", "the CRM bears more")
        page.click("form[action$='/propose'] button")
        self.told(page, "proposed", True)
        if page.run("!!document.querySelector(\"form[action$='/approve']\")"):
            raise Failure("who proposed is offered the approval")
        second = self.sign_in("second")
        self.goto(second, "/")
        second.until("the proposal is urgent", "document.body.innerText.includes('manifest of crm')")
        self.goto(second, "/approvals")
        self.look(second, "approvals")
        self.goto(second, "/approvals/crm")
        second.run("document.querySelector('.deeds details').open = true")
        self.look(second, "approval")
        second.type("#approve", "read; as agreed with the owner")
        second.click("form[action$='/approve'] button")
        self.told(second, "approved", True)
        self.say("a second person approved exactly what the first proposed")

    def replay(self, page):
        self.goto(page, "/dead-letters")
        self.look(page, "dead-letters")
        page.click("table.rows tbody a")
        self.look(page, "dead-letter")
        page.click("form[action$='/replay'] button")
        self.told(page, "in the outbox", True)
        self.say("a dead letter is on its way again")

    def plot(self, page):
        self.goto(page, "/connectors")
        self.look(page, "connectors")
        end = time.monotonic() + 120
        while True:
            self.goto(page, "/connectors/crm")
            if page.run("!!document.querySelector('svg.plot path.curve')"):
                break
            if time.monotonic() > end:
                raise Failure("the CRM was not surveyed")
            time.sleep(1)
        self.look(page, "connector")
        self.say("the plot shows " + page.run("document.querySelector('svg.plot').getAttribute('aria-label')"))

    def rest(self, page):
        for path in ("/secrets", "/acts", "/account", "/nowhere"):
            self.goto(page, path)
            self.look(page, path.strip("/"))
        self.goto(page, "/acts?by=demo")
        page.until("the record tells it", "document.body.innerText.includes('close task')")

    def keys(self, page):
        self.goto(page, "/")
        page.key("g")
        page.settled(lambda: page.key("t"))
        if page.run("location.pathname") != "/tasks":
            raise Failure("g t leads to the tasks")
        page.key("/")
        if page.run("document.activeElement.id") != "search":
            raise Failure("/ leads to the search")
        page.run("document.activeElement.blur()")
        page.key("?")
        page.until("the list of keys opens", "document.getElementById('help').open")
        self.look(page, "keys")
        self.say("keys lead where they should")

    def complaints(self):
        """What the browser itself found wrong: a policy broken, a script that failed."""
        while not self.browser.events.empty():
            event = self.browser.events.get()
            if event["method"] == "Runtime.exceptionThrown":
                self.findings.append(f"script: {event['params']['exceptionDetails']}")
            if event["method"] == "Log.entryAdded":
                entry = event["params"]["entry"]
                # The one answer of this walk that is meant to be refused, and the page that is not there.
                if entry["level"] == "error" and not re.search(r"status of 40[14]", entry["text"]):
                    self.findings.append(f"browser: {entry['text']} {entry.get('url', '')}")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        walk = Walk(json.load(file))
    status = 0
    try:
        walk.walk()
    except Failure as failure:
        print(f"FAILED: {failure}", flush=True)
        status = 1
    finally:
        walk.complaints()
        walk.browser.close()
    for finding in dict.fromkeys(walk.findings):
        print(f"FOUND {finding}", flush=True)
        status = 1
    print(f"{walk.looked} looks, {len(walk.findings)} findings", flush=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
