"""Signing in through a real identity provider, in a real browser.

Owns the way there and back: the provider's own pages are filled in as a person would. Starts nothing;
`tests/integration/console.rs` starts the provider and Clawback.

usage: provider.py FILE   (JSON: url, issuer, chromium, shots)
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from browser import Browser, Failure  # noqa: E402  (found only after sys.path is set)


def there(page, given, login, password):
    """Through the provider's pages, whichever of them it shows."""
    page.goto(given["url"] + "/tasks")
    page.click("a[href^='/oidc/begin']")
    if not page.run("location.href").startswith(given["issuer"]):
        raise Failure("it does not lead to the provider: " + page.run("location.href"))
    for _ in range(6):
        if not page.run("location.href").startswith(given["issuer"]):
            return
        if page.run("!!document.querySelector('input[name=password]')"):
            page.type("input[name=password]", password)
            page.click("button[type=submit]")
        elif page.run("!!document.querySelector('input[name=login]')"):
            page.type("input[name=login]", login)
            page.click("button[type=submit]")
        elif page.run("!!document.querySelector('button[name=answer][value=accept]')"):
            page.click("button[name=answer][value=accept]")
        else:
            raise Failure("the provider shows something else:\n" + page.text()[:2000])
    raise Failure("the provider does not send us back:\n" + page.text()[:2000])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        given = json.load(file)
    browser = Browser(given["chromium"])
    try:
        page = browser.page()
        there(page, given, "olga", "correct horse battery")
        page.until("it leads back to where one wanted to go", "location.pathname === '/tasks' && document.querySelector('h1').innerText === 'Tasks'")
        page.goto(given["url"] + "/account")
        text = page.text()
        for wanted in ("olga", "operator"):
            if wanted not in text:
                raise Failure(f"{wanted} is not on the account page:\n{text}")
        if "approver" in text:
            raise Failure(f"a role that the provider did not give:\n{text}")
        page.shot(os.path.join(given["shots"], "provider.png"))
        # Whoever has no group that counts here is not let in, and is told so.
        other = browser.page()
        there(other, given, "mallory", "correct horse battery")
        other.until("it says why", "document.body.innerText.includes('the provider gives you no role here')")
        # An answer that this browser did not ask for is worth nothing.
        third = browser.page()
        third.goto(given["url"] + "/oidc/callback?code=stolen&state=guessed")
        third.until("it is refused", "document.body.innerText.includes('was not begun in this browser')")
        print("signed in by the provider, by its groups")
    except Failure as failure:
        print(f"FAILED: {failure}")
        sys.exit(1)
    finally:
        browser.close()


if __name__ == "__main__":
    main()
