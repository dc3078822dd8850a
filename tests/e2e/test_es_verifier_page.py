"""The ES module where people run it: in Chromium, on the command line, against a static host."""

import functools
import http.server
import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
from support.verifier.node import MODULE, PAGE, chromium, es_verifier, node, tlog_proof

from walras.audit.keys import Signer
from walras.audit.merkle import Tree
from walras.audit.note import Checkpoint, NoteKey, format_vkey, sign_checkpoint
from walras.protocol.records import Voided
from walras.sdk.signing import sign_record
from walras.store.folder import write_log_folder

SIGNER = Signer.from_seed(b"\x01" * 32)
KEY = NoteKey("localhost/test", SIGNER.public_key)
VKEY = format_vkey(KEY)
OTHER_VKEY = format_vkey(NoteKey(KEY.name, Signer.from_seed(b"\x02" * 32).public_key))
SIZE = 300


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log folder, a damaged copy, and a receipt with its record, all under one root."""
    root = tmp_path_factory.mktemp("served")
    leaves = [sign_record(Voided(n, "BATCH_INTERRUPTED"), SIGNER) for n in range(SIZE)]
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    note = sign_checkpoint(Checkpoint(KEY.name, SIZE, tree.root()), KEY.name, SIGNER)
    for name in ("log", "bad", "grown"):
        write_log_folder(root / name, leaves, note, VKEY, ())
    bundle = root / "bad/tile/entries/001.p/44"
    bundle.write_bytes(bundle.read_bytes().replace(b"INTERRUPTED", b"INTERRUPTES", 1))
    drop_partial_files(root / "grown", leaves)
    (root / "record").write_bytes(leaves[7])
    (root / "receipt.tlog-proof").write_bytes(tlog_proof(7, tree.inclusion_proof(7), note))
    (root / "wrong.tlog-proof").write_bytes(tlog_proof(8, tree.inclusion_proof(7), note))
    return root


def drop_partial_files(folder: Path, leaves: list[bytes]) -> None:
    """As a host that has gone on to 512 entries and keeps only full tiles of level 0."""
    more = [*leaves, *(sign_record(Voided(n, "X"), SIGNER) for n in range(SIZE, 512))]
    keep = (folder / "checkpoint").read_bytes()
    for path in ("tile/entries/001.p/44", "tile/0/001.p/44"):
        (folder / path).unlink()
    write_log_folder(folder, more, keep, VKEY, ())


class Handler(http.server.SimpleHTTPRequestHandler):
    """A static host that lets pages of other origins read, as a log's host must."""

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: the test's output is no access log."""


@pytest.fixture(scope="module")
def host(log: Path) -> Iterator[str]:
    handler = functools.partial(Handler, directory=str(log))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


def test_the_page_holds_the_module_as_it_stands() -> None:
    """Else: python docs/verifier/embed.py."""
    embedded = run_path(str(PAGE.with_name("embed.py")))["embedded"]
    page = PAGE.read_text("utf-8")
    assert embedded(page, MODULE.read_text("utf-8")) == page


def test_a_log_on_a_static_host(log: Path, host: str) -> None:
    with es_verifier() as es:
        urls = [f"{host}/log", f"{host}/log/", f"{host}/grown", f"{host}/bad", f"{host}/none"]
        urls += ["ftp://x/", "http://127.0.0.1:1/", "https://x/?a", "nonsense"]
        verdicts = es.ask({"kind": "url", "url": url, "key": VKEY} for url in urls)
    assert [one["code"] for one in verdicts] == [
        *(None, None, None, "ROOT_MISMATCH", "FIELD_INVALID"),
        *("FIELD_INVALID", "ENGINE_UNREACHABLE", "FIELD_INVALID", "FIELD_INVALID"),
    ]
    assert verdicts[0]["entries"] == verdicts[2]["entries"] == SIZE
    assert verdicts[3]["index"] == 256


def command(*args: str | Path) -> tuple[int, Any]:
    done = subprocess.run(
        [node(), str(MODULE), *map(str, args)],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )
    text = done.stdout or done.stderr
    return done.returncode, json.loads(text) if "--json" in args else text


def test_the_command(log: Path, host: str, tmp_path: Path) -> None:
    code, found = command(log / "log", "--key", VKEY, "--json", "--earlier", log / "log/checkpoint")
    assert (code, found["ok"], found["entries"]) == (0, True, SIZE)
    code, text = command(f"{host}/log", "--key", VKEY)
    assert code == 0
    assert found["root"] in text
    code, found = command(log / "bad", "--key", VKEY, "--json")
    assert (code, found["reason"], found["fields"]["index"]) == (1, "ROOT_MISMATCH", 256)
    code, found = command(log / "log", "--key", OTHER_VKEY, "--json")
    assert (code, found["reason"]) == (1, "CHECKPOINT_INVALID")
    receipt = ("--key", VKEY, "--record", log / "record", "--json", "--receipt")
    code, found = command(*receipt, log / "receipt.tlog-proof")
    assert (code, found["index"], found["entries"]) == (0, 7, SIZE)
    code, found = command(*receipt, log / "wrong.tlog-proof")
    assert (code, found["reason"]) == (1, "PROOF_INVALID")
    policy = tmp_path / "policy"
    policy.write_text(f"log {VKEY}\nquorum none\n")
    assert command(log / "log", "--key", VKEY, "--policy", policy)[0] == 0
    policy.write_text(f"log {OTHER_VKEY}\nquorum none\n")
    code, found = command(log / "log", "--key", VKEY, "--policy", policy, "--json")
    assert (code, found["reason"]) == (1, "LOG_UNKNOWN")


def test_the_command_says_what_is_missing(log: Path) -> None:
    for args in (
        [],
        [log / "log"],
        ["--key", VKEY],
        [log / "log", "--key", "x"],
        [log / "nothing-here", "--key", VKEY],
        [log / "log", "--key", VKEY, "--earlier", log / "nothing-here"],
        [log / "log", "--key", VKEY, "--unknown"],
        [log / "log", "--key", VKEY, "--receipt", log / "receipt.tlog-proof"],
    ):
        code, text = command(*args)
        assert code == 2, args
        assert text.split(":")[0] in {"FIELD_INVALID", "PUBLIC_KEY_INVALID"}
    assert command("--help")[0] == 0


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., dict[str, Any]]]:
    """Fills in one of the page's forms, and gives what the page then says."""
    driver = Path(__file__).parents[1] / "support/verifier/browser.mjs"
    profile = tmp_path_factory.mktemp("profile")
    with subprocess.Popen(
        [node(), str(driver), chromium(), str(profile)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        asked, answered = process.stdin, process.stdout
        assert asked is not None
        assert answered is not None

        def check(
            form: str, page: str = PAGE.as_uri(), *, files: object = None, **values: str
        ) -> dict[str, Any]:
            case = {"url": page, "form": form, "files": files or {}, "values": values}
            asked.write(json.dumps(case) + "\n")
            asked.flush()
            line = answered.readline()
            assert line, "the browser's driver ended; its error stands above"
            found: dict[str, Any] = json.loads(line)
            return found

        yield check
        asked.close()
        assert process.wait(20) == 0


def test_the_page_from_a_disk(browser: Callable[..., dict[str, Any]], log: Path, host: str) -> None:
    """Chosen folders and receipts, and a log fetched from a host; no network but that."""
    good = browser("log", files={"folder": [str(log / "log")]}, key=VKEY)
    assert (good["verdict"], good["details"]["entries"]) == ("holds", str(SIZE))
    bad = browser("log", files={"folder": [str(log / "bad")]}, key=VKEY)
    assert (bad["verdict"], bad["title"]) == ("fails", "It does not hold")
    assert bad["details"]["reason"] == "ROOT_MISMATCH"
    assert bad["details"]["index"] == "256"
    fetched = browser("log", key=VKEY, url=f"{host}/log", policy="quorum none\n")
    assert fetched["details"] == good["details"]
    other = browser("log", key=OTHER_VKEY, url=f"{host}/log")
    assert other["details"]["reason"] == "CHECKPOINT_INVALID"
    neither = browser("log", key=VKEY)
    assert neither["title"] == "It could not be checked"
    chosen = {"record": [str(log / "record")], "proof": [str(log / "receipt.tlog-proof")]}
    receipt = browser("receipt", files=chosen, key=VKEY)
    assert (receipt["verdict"], receipt["details"]["index"]) == ("holds", "7")
    chosen["proof"] = [str(log / "wrong.tlog-proof")]
    wrong = browser("receipt", files=chosen, key=VKEY)
    assert (wrong["verdict"], wrong["details"]["reason"]) == ("fails", "PROOF_INVALID")
    for seen in (good, bad, fetched, other, neither, receipt, wrong):
        assert seen["problems"] == []


def test_the_page_from_a_host(browser: Callable[..., dict[str, Any]], log: Path, host: str) -> None:
    (log / "index.html").write_bytes(PAGE.read_bytes())
    seen = browser("log", f"{host}/index.html", key=VKEY, url=f"{host}/log")
    assert (seen["verdict"], seen["problems"]) == ("holds", [])


def test_the_page_names_what_it_asks_for() -> None:
    """Every field has a label, every hint is tied to its field, and nothing comes from outside."""
    page = PAGE.read_text("utf-8").partition("<script")[0]
    fields = set(re.findall(r'<(?:input|textarea) id="([a-z]+)"', page))
    assert fields == set(re.findall(r'<label for="([a-z]+)"', page))
    assert len(fields) == 7
    for hint in re.findall(r'aria-describedby="([a-z-]+)"', page):
        assert f'id="{hint}"' in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
