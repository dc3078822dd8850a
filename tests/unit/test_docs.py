"""What the documents say is what the code does, as far as a program can tell."""

import ast
import inspect
import json
import re
import shlex
import tomllib
from collections import defaultdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import typer
from google.rpc import code_pb2
from support.auctions import ETH, USDC, WHOLE_ETH, WHOLE_USDC, intent, key, pool, problem

from walras.api.v1 import record_pb2
from walras.app.config import read_config
from walras.auction import batch, validity
from walras.auction.validity import score_bid
from walras.cli import main as cli
from walras.core.bids import Bid
from walras.core.errors import Reason
from walras.protocol.records import Kind
from walras.rpc.status import CODES
from walras.sdk import Deadline, Solver

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/**/*.md")])
PROTOCOL = (ROOT / "docs/protocol.md").read_text()

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, info: str) -> list[str]:
    return [body for found, body in FENCE.findall(text) if found == info]


def prose(text: str) -> str:
    return FENCE.sub("", text)


def section(title: str) -> str:
    """The part of the protocol under a heading, up to the next one of any depth."""
    _, found, rest = PROTOCOL.partition(f"\n{title}\n")
    assert found, title
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str, columns: int) -> list[list[str]]:
    cells = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("| `")
    ]
    return [row for row in cells if len(row) == columns]


def code_words(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


# the protocol's tables


def test_every_reason_has_its_row_in_the_order_of_the_code() -> None:
    table = section("## 11. Reasons").partition("The gRPC status")[0]
    assert [code_words(row[0]) for row in rows(table, 2)] == [[reason.value] for reason in Reason]
    assert all(row[1] for row in rows(table, 2))


def test_statuses_are_those_of_the_server() -> None:
    table = section("## 11. Reasons").partition("The gRPC status")[2]
    told = {
        reason: code_words(status)[0]
        for status, reasons in rows(table, 2)
        for reason in code_words(reasons)
    }
    served = {reason.value: code_pb2.Code.Name(code) for reason, code in CODES.items()}
    assert told == {r: code for r, code in served.items() if code != "INVALID_ARGUMENT"}


def test_every_kind_of_record_has_its_row() -> None:
    table = rows(section("### Records"), 4)
    assert [code_words(row[0]) for row in table] == [[kind.value] for kind in Kind]
    for _, message, signer, place in table:
        assert message in record_pb2.DESCRIPTOR.message_types_by_name
        names_signer = {"owner", "operator", "feeder", "signer", "solver", "prober", "node"} & set(
            record_pb2.DESCRIPTOR.message_types_by_name[message].fields_by_name
        )
        assert signer == "the engine" or names_signer or message == "Intent"
        in_blobs = {"Bid", "Bundle", "Challenge", "Echo", "Commitment", "Opening"}
        kept = {"Task", "BidReceipt"}
        expected = "solver" if message in kept else "blob" if message in in_blobs else "log"
        assert place == expected


def rejections() -> dict[str, set[frozenset[str]]]:
    """Reason → the names of the details with which the auction's code rejects a bid for it."""
    found: defaultdict[str, set[frozenset[str]]] = defaultdict(set)
    for module in (batch, validity):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "BidRejected":
                reason = ast.unparse(node.args[0]).removeprefix("Reason.")
                found[reason].add(frozenset(word.arg for word in node.keywords if word.arg))
    return found


def test_details_of_rejections_are_those_of_the_code() -> None:
    told = {code_words(row[0])[0]: row[1] for row in rows(section("### Rejections"), 2)}
    names = {
        *("expected", "signer", "solver", "bid_id", "limit", "auction_id", "problem_digest"),
        *("intent", "least", "remaining", "units", "asset", "price", "settlement", "given"),
        *("received", "collar_bps", "available", "owner", "spent", "cause", "execution", "venue"),
        *("executions", "part", "steps"),
        *("amount_out", "missing", "cost", "surplus", "score"),
    }
    found = rejections()
    assert found.keys() <= told.keys()
    for reason, variants in found.items():
        # Names of the same cell that belong to the body's own checks are not the auction's.
        cell = told[reason].rpartition("in step 10")[2]
        assert set(code_words(cell)) & names == set().union(*variants), reason


def test_steps_name_every_reason_to_reject() -> None:
    named = set(code_words(section("### Order of checks") + section("### When bidding closes")))
    assert {code_words(row[0])[0] for row in rows(section("### Rejections"), 2)} <= named


# solvers


def test_the_example_solver_makes_a_valid_bid() -> None:
    (source,) = blocks((ROOT / "docs/solvers.md").read_text(), "python solver")
    space: dict[str, Any] = {"__name__": "cheapest"}
    exec(compile(source, "docs/solvers.md", "exec"), space)
    solver = space["Cheapest"]()
    assert isinstance(solver, Solver)
    assert solver.describe().name == "cheapest"
    sealed = problem(
        {
            "sell": intent("alice", {ETH: -1}, USDC, 2_900 * 5 * WHOLE_USDC, units=5 * WHOLE_ETH),
            "dear": intent("alice", {ETH: -1}, USDC, 3_100 * 5 * WHOLE_USDC, units=5 * WHOLE_ETH),
            "buy": intent("bob", {ETH: 1}, USDC, -3_200 * WHOLE_USDC, units=WHOLE_ETH),
        },
        balances={("alice", ETH): 4 * WHOLE_ETH, ("bob", USDC): 4_000 * WHOLE_USDC},
        venues=[pool("pool", cost=1_000)],
    )
    (proposal,) = solver.solve(sealed, Deadline.after(10))
    assert [(fill.intent_id, fill.units) for fill in proposal.fills] == [
        (key("sell"), 4 * WHOLE_ETH)
    ]
    digest = sha256(b"problem").digest()
    bid = Bid(sealed.auction_id, digest, key("solver"), proposal)
    scored = score_bid(sealed, digest, bid, bid_id=key("bid"), bid_digest=key("envelope"))
    assert scored.score > 0
    assert scored.fills[0].settlement == proposal.executions[-1].amount_out
    assert list(solver.solve(sealed, Deadline.after(-1))) == []


def test_settings_that_are_shown_are_settings(tmp_path: Path) -> None:
    shown = [block for path in DOCUMENTS for block in blocks(path.read_text(), "toml engine")]
    assert len(shown) >= 3
    for number, block in enumerate(shown):
        file = tmp_path / f"{number}.toml"
        file.write_text(block)
        told = re.findall(r'^name = "(.+)"$', block, re.MULTILINE)
        assert [spec.name for spec in read_config(file).nodes()] == told != []


def test_the_entry_point_is_of_the_group_that_is_searched() -> None:
    (block,) = blocks((ROOT / "docs/solvers.md").read_text(), "toml")
    shown = tomllib.loads(block)["project"]["entry-points"]
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert shown.keys() == own.keys()


# commands


def command_lines() -> list[tuple[str, str]]:
    """Every line of a shell block that calls walras, and the document it is from."""
    found = []
    for path in DOCUMENTS:
        for block in blocks(path.read_text(), "sh") + blocks(path.read_text(), "console"):
            for line in block.replace("\\\n", " ").splitlines():
                called = line.removeprefix("$ ").removeprefix(".venv/bin/")
                if called.startswith("walras "):
                    found.append((str(path.relative_to(ROOT)), called))
    return found


def parse(words: list[str]) -> None:
    """Parse a command line with the real command; raises what a user would be told."""
    group: Any = typer.main.get_command(cli._app(words))
    command, rest = group, words
    context = None
    while hasattr(command, "commands"):
        if rest and rest[0] in {"--help", "-h", "--version"}:
            return
        assert rest, "a command is missing"
        assert rest[0] in command.commands, f"there is no command {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    if not {"--help", "-h"} & set(rest):
        command.make_context(words[0], list(rest), parent=context)


def simple(line: str) -> list[str]:
    """The words of a line up to a comment, a pipe or a redirection."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;<>"):
            break
        words.append(word)
    return words


@pytest.mark.parametrize(("document", "line"), command_lines())
def test_commands_that_are_shown_are_commands(document: str, line: str) -> None:
    parse(simple(line)[1:])


def test_commands_that_are_mentioned_exist() -> None:
    mentioned = [
        (path, words)
        for path in DOCUMENTS
        for words in re.findall(r"`walras ([^`\n]+)`", prose(path.read_text()))
    ]
    assert mentioned
    for path, line in mentioned:
        words = [word for word in line.split() if re.fullmatch(r"[a-z][a-z-]*", word)]
        command: Any = typer.main.get_command(cli._app(line.split()))
        for word in words:
            if not hasattr(command, "commands"):
                break
            assert word in command.commands, f"{path.name}: walras {line}"
            command = command.commands[word]
        options = {name for option in command.params for name in option.opts}
        for word in re.findall(r"--[a-z-]+", line):
            assert word in options | {"--help", "--version"}, f"{path.name}: walras {line}"


def test_make_targets_that_are_shown_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in DOCUMENTS:
        assert set(re.findall(r"\bmake ([a-z]+)\b(?=`|\s*#|\n)", path.read_text())) <= targets


# the documents themselves


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", prose(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_resolve(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_no_machine_and_no_registry(path: Path) -> None:
    named = re.search(
        r"/work\b|/home/|/root\b|/Users/|/tmp/|pypi\.org|docker\.io|ghcr\.io|quay\.io|npmjs",
        path.read_text(),
    )
    assert named is None, named


def test_decisions_are_numbered_and_complete() -> None:
    pages = sorted((ROOT / "docs/adr").glob("*.md"))
    for number, page in enumerate(pages, start=1):
        text = page.read_text()
        assert page.name.startswith(f"{number:04}-")
        assert text.startswith(f"# {number:04}: ")
        parts = ("Context.", "Decision.", "Consequences and cost.", "Alternatives.")
        places = [text.find(f"**{part}**") for part in parts]
        assert -1 not in places
        assert places == sorted(places)
        assert len(text.split()) < 450, page.name


def test_the_order_of_imports_is_the_one_that_is_checked() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    shown = blocks(text.partition("## One order of imports")[2], "text")[0].split("\n")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    assert [line for line in shown if line] == [layer.replace("walras.", "") for layer in layers]


def test_rooms_are_the_folders() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    shown = re.findall(r"^  ([a-z]+)/ ", text, re.MULTILINE)
    folders = {p.parent.name for p in (ROOT / "engine/walras").glob("*/__init__.py")}
    assert set(shown) == folders
    assert len(shown) == len(folders)


# containers


def test_the_engine_of_the_composition_dials_its_solvers(monkeypatch: pytest.MonkeyPatch) -> None:
    config = read_config(ROOT / "docker/walras.toml")
    compose = (ROOT / "docker/compose.yaml").read_text()
    services = re.findall(r"^  ([a-z]+):$", compose.partition("\nservices:\n")[2], re.MULTILINE)
    dialled = {spec.address.partition(":")[0] for spec in config.nodes()}
    assert dialled
    assert dialled <= set(services)
    assert {spec.address.partition(":")[2] for spec in config.nodes()} == {"7500"}
    assert config.listen == "0.0.0.0:7400"
    assert not any(spec.plugin for spec in config.nodes())
    # A sealed batch is settled before the container is killed.
    (grace,) = re.findall(r"stop_grace_period: ([0-9]+)s", compose)
    assert int(grace) > config.solve_ms / 1000 + 2 * 5


def test_commands_of_the_containers_are_commands() -> None:
    compose = (ROOT / "docker/compose.yaml").read_text()
    image = (ROOT / "docker/Dockerfile").read_text()
    lists = re.findall(
        r"(?:command|test|CMD|ENTRYPOINT):? (\[.*\])$", compose + image, re.MULTILINE
    )
    assert len(lists) == 6
    for words in map(json.loads, lists):
        if words == ["walras"]:
            continue
        parse([word for word in words if word not in {"CMD", "walras"}])


def test_the_image_copies_what_is_there() -> None:
    image = (ROOT / "docker/Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", image, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
            assert f"!{source}" in ignored
    assert re.search(r"^USER [1-9][0-9]*:[1-9][0-9]*$", image, re.MULTILINE)
    assert image.count("FROM ") == 2
