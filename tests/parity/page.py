#!/usr/bin/env python3
"""The page of `peek --html` in headless Chromium, driven through ChromeDriver (the W3C's WebDriver protocol): what the pointer shows is what
h5py reads, keys and menus change what is shown, nothing is written to the console and nothing is fetched. PIPEFORMER_BIN is the directory of the tools."""
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import h5py
import numpy as np

if not shutil.which("chromedriver"):
    print("chromedriver is not installed")
    sys.exit(77)

tools = os.environ["PIPEFORMER_BIN"]
checkpoint = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "testdata", "checkpoints", "marian")
failures = 0


def check(name, good, seen=""):
    global failures
    failures += not good
    print(("ok   " if good else "FAIL ") + name, "" if good else seen)


class Browser:
    """As much of https://www.w3.org/TR/webdriver2/ as this test needs."""

    def __init__(self, directory):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.driver = subprocess.Popen(["chromedriver", f"--port={self.port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.session = ""
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1300,1000", f"--user-data-dir={directory}/profile"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        for attempt in range(100):
            try:
                self.session = "/session/" + self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
                break
            except (OSError, RuntimeError):  # not listening yet; or the browser of a busy machine was slow
                if attempt == 99:
                    self.close()
                    raise
                time.sleep(0.2)

    def call(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", None if body is None else json.dumps(body).encode(), method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error

    def post(self, path, body):
        return self.call("POST", self.session + path, body)

    def run(self, script, *arguments):
        return self.post("/execute/sync", {"script": script, "args": arguments})

    def point(self, x, y, click=False):
        actions = [{"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y), "origin": "viewport"}]
        if click:
            actions += [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self.post("/actions", {"actions": [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions}]})

    def press(self, key):
        self.post("/actions", {"actions": [{"type": "key", "id": "keys", "actions": [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]}]})

    def log(self, kind):
        return self.post("/se/log", {"type": kind})

    def close(self):
        try:
            if self.session:
                self.call("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait()


def hover(browser, panel, row, column, click=False):
    """Moves the pointer over a cell; what the page then says."""
    place = browser.run("""
        const canvas = document.querySelectorAll("canvas")[arguments[0]], d = canvas.dataset;
        canvas.scrollIntoView({block: "center"});
        const box = canvas.getBoundingClientRect(), cell = Number(d.cell);
        return [box.left + Number(d.left) + (arguments[2] + 0.5) * cell, box.top + Number(d.top) + (arguments[1] + 0.5) * cell];""", panel, row, column)
    browser.point(*place, click=click)
    return browser.run("return document.getElementById('readout').textContent")


def shown(browser):
    return browser.run("const s = document.getElementById('name'); return s.options[s.selectedIndex].text.split(' ')[0]")


with tempfile.TemporaryDirectory() as directory:
    os.chdir(directory)
    environment = {**os.environ, "PATH": tools + ":" + os.environ["PATH"]}
    subprocess.run(["bash", "-euc", f"model import '{checkpoint}' -o m.h5; printf '5 6 7 8 9 10\\n4 5\\n' | convert --text i4 -o s.npy;"
                    "decode -m m.h5 s.npy --max-length 7 --tap-file taps.h5 -o out.npy; peek --html taps.h5 --title '</script><b>&' -o page.html"],
                   check=True, env=environment)
    taps = h5py.File("taps.h5")

    def record(name):
        group = taps[name]
        if "shapes" in group:
            shape = group["shapes"][0]
            return group["data"][: np.prod(shape)].reshape(shape)
        return group["data"][: group["offsets"][1]]

    browser = Browser(directory)
    try:
        browser.post("/url", {"url": "about:blank"})
        browser.log("performance")  # of the page that the browser opened by itself
        browser.post("/url", {"url": f"file://{directory}/page.html"})
        check("the title is text", browser.run("return document.querySelector('h1').textContent") == "</script><b>&")
        names = browser.run("return [...document.getElementById('name').options].map((o) => o.text.split(' ')[0])")
        in_file = []
        taps.visititems(lambda name, item: in_file.append(name) if isinstance(item, h5py.Group) and "data" in item and not name.endswith("/ids") else None)
        check("every intermediate can be chosen", sorted(names) == sorted(in_file), names)
        check("it begins with attention", shown(browser).endswith("/weights"), shown(browser))

        for name in ("decoder/1/cross_attn/weights", "encoder/0/self_attn/weights", "decoder/0/self_attn/scores", "logits", "decoder/0/ffn/hidden"):
            full = name if name in names else next(n for n in names if n.endswith(name))
            browser.run("const s = document.getElementById('name'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))", names.index(full))
            x = record(full)
            heads = x.reshape(-1, *x.shape[-2:])
            check(f"{full}: a picture for each head", browser.run("return document.querySelectorAll('canvas').length") == len(heads))
            for panel, row, column in [(0, 0, 0), (len(heads) - 1, x.shape[-2] - 1, x.shape[-1] - 1), (len(heads) // 2, 1, 1)]:
                said = hover(browser, panel, row, column)
                got, want = float(said.rsplit("·", 1)[1].replace("Infinity", "inf")), heads[panel, row, column]
                check(f"{full}: head {panel}, row {row}, column {column}", got == want or abs(got - want) <= 1e-5 * abs(want), said)

        name = next(n for n in names if n.endswith("decoder/1/cross_attn/weights"))
        browser.run("const s = document.getElementById('name'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))", names.index(name))
        x = record(name)
        said = hover(browser, 2, 3, 4)
        ids, keys = taps["decoder/ids/data"][()], taps["encoder/ids/data"][()]
        check("a cell names its tokens", said.startswith(f"head 2 · query 3 {ids[3]} · key 4 {keys[4]} · "), said)
        hover(browser, 2, 3, 4, click=True)
        check("a click shows one head", browser.run("return [document.querySelectorAll('canvas').length, document.querySelector('canvas').dataset.head]") == [1, "2"])
        browser.run("document.querySelector('h1').click()")
        browser.press("1")
        check("a digit chooses the head", browser.run("return document.querySelector('canvas').dataset.head") == "1")
        browser.press("\ue00c")  # Escape
        check("Escape shows all", browser.run("return document.querySelectorAll('canvas').length") == len(x))
        browser.press("\ue014")  # right arrow
        check("an arrow goes on", shown(browser) == names[names.index(name) + 1], shown(browser))
        browser.press("\ue012")
        check("and back", shown(browser) == name, shown(browser))
        titles = browser.run("""
            document.querySelectorAll('#rows span')[3].focus();
            return [...document.querySelectorAll('#columns span')].map((s) => Number(s.title))""")
        check("a row's token shows what it attends to, in the mean", np.allclose(titles, x[:, 3].mean(0), rtol=1e-5), titles)

        if os.environ.get("PIPEFORMER_PAGE_PICTURE"):
            with open(os.environ["PIPEFORMER_PAGE_PICTURE"], "wb") as picture:
                picture.write(base64.b64decode(browser.call("GET", browser.session + "/screenshot")))
        check("the console is empty", browser.log("browser") == [])
        fetched = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
        urls = [m["params"]["request"]["url"] for m in fetched if m["method"] == "Network.requestWillBeSent"]
        check("nothing is fetched but the page", urls and set(urls) == {f"file://{directory}/page.html"}, urls)
    finally:
        browser.close()

sys.exit(failures > 0)
