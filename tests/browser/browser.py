"""A browser driven by the DevTools protocol over two pipes: nothing but Chromium and Python.

Owns the start and end of one headless Chromium, pages in contexts of their own (each with its own
cookies), and what a walk does with a page. Knows nothing of Clawback.
"""
import base64
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time

PATIENCE = 60


class Failure(Exception):
    """Something that a person would have seen did not come."""


class Browser:
    def __init__(self, program):
        self.home = tempfile.mkdtemp(prefix="clawback-browser-")
        to_child, self.write = os.pipe()
        self.read, from_child = os.pipe()
        # The child listens on 3 and answers on 4. It runs as root in a container at times, where
        # its own sandbox cannot be set up; it sees only pages of the console under trial.
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec 3<&{to_child} 4>&{from_child}; exec "$0" "$@"', program,
             "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
             "--disable-background-networking", "--force-color-profile=srgb",
             f"--user-data-dir={self.home}"],
            pass_fds=(to_child, from_child), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(to_child)
        os.close(from_child)
        self.number, self.answers, self.lock = 0, {}, threading.Lock()
        self.events = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        buffer = b""
        while True:
            try:
                chunk = os.read(self.read, 1 << 16)
            except OSError:
                return
            if not chunk:
                return
            buffer += chunk
            *messages, buffer = buffer.split(b"\0")
            for message in messages:
                message = json.loads(message)
                if "id" in message:
                    self.answers[message["id"]].put(message)
                else:
                    self.events.put(message)

    def call(self, method, session=None, **params):
        with self.lock:
            self.number += 1
            number = self.number
            self.answers[number] = queue.Queue()
            message = {"id": number, "method": method, "params": params}
            if session:
                message["sessionId"] = session
            os.write(self.write, json.dumps(message).encode() + b"\0")
        try:
            answer = self.answers[number].get(timeout=PATIENCE)
        except queue.Empty:
            raise Failure(f"the browser did not answer {method}") from None
        self.answers.pop(number, None)
        if "error" in answer:
            raise Failure(f"{method}: {answer['error']}")
        return answer["result"]

    def page(self):
        """A page in a context of its own: another person at another machine."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session)

    def close(self):
        try:
            self.call("Browser.close")
            self.process.wait(10)
        except Exception:  # whatever it was: the process goes
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


class Page:
    def __init__(self, browser, session):
        self.browser, self.session = browser, session
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.look()

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def look(self, width=1280, height=900, dark=False):
        """How wide the window is, and which colours the person likes."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def run(self, script):
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise Failure(f"{script[:120]}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, what, script, seconds=PATIENCE):
        """Waits until the script is true of the page."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                found = self.run(script)
                if found:
                    return found
            except Failure:
                pass  # the page is just being replaced
            time.sleep(0.1)
        raise Failure(f"waited in vain until {what}; the page says:\n{self.text()[:3000]}")

    def text(self):
        return self.run("document.body ? document.body.innerText : ''") or ""

    def settled(self, act):
        """Does something that leads to another page, and waits for that page."""
        self.run("window.before = true")
        act()
        self.until("the next page has come", "!window.before && document.readyState === 'complete'")

    def goto(self, url):
        self.settled(lambda: self.call("Page.navigate", url=url))

    def click(self, selector):
        self.until(f"{selector} is there", f"!!document.querySelector({json.dumps(selector)})")
        self.settled(lambda: self.run(f"document.querySelector({json.dumps(selector)}).click()"))

    def type(self, selector, text):
        found = self.run(f"""(() => {{ const field = document.querySelector({json.dumps(selector)});
            if (!field) return false; field.closest('details')?.setAttribute('open', '');
            field.focus(); field.value = ''; return true; }})()""")
        if not found:
            raise Failure(f"{selector} is not there; the page says:\n{self.text()[:3000]}")
        self.call("Input.insertText", text=text)

    def key(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" and len(key) == 1 else "")

    def shot(self, path):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 4000), "scale": 1}
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture["data"]))
