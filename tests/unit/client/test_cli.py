"""The `ocrfarm` command: as a person types it, in a process of its own."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import time
from importlib.metadata import distribution
from pathlib import Path

import pytest
import typer
from tests.unit.client.conftest import PDF, Gateway, Hand, png

from ocrfarm import cli
from ocrfarm.cli.submit import Item, find, targets
from ocrfarm_shared.errors import BadOption, Encrypted


def ocrfarm(
    *arguments: object, url: str = "http://127.0.0.1:1", stdin: bytes = b"", cwd: Path | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ocrfarm", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=60,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "OCRFARM_URL": url, "COLUMNS": "200", **settings},
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def start(*arguments: object, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ocrfarm", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", "OCRFARM_URL": url, "COLUMNS": "200"},
    )


# ---------------------------------------------------------------------------------------------------- starting quickly


def imported_by(*arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True)
    return {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}


def test_importing_ocrfarm_imports_next_to_nothing() -> None:
    heavy = {"httpx", "pydantic", "rich", "typer", "celery", "redis", "ocrfarm_shared.contracts"}
    assert not heavy & imported_by("-c", "import ocrfarm; ocrfarm.Client.__name__ if False else None")
    assert {"httpx", "ocrfarm_shared.contracts"} <= imported_by("-c", "from ocrfarm import Client, Page")


def test_help_imports_no_room(tmp_path: Path) -> None:
    heavy = {"httpx", "pydantic", "celery", "redis", "fastapi", "numpy", "cv2", "onnxruntime", "rich.console"}
    assert not heavy & imported_by("-m", "ocrfarm", "--help")


def test_help_costs_little(tmp_path: Path) -> None:
    """Processor time, which other programs on the machine do not stretch as they do the clock's."""
    script = "import resource; from ocrfarm.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    script += "used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime + used.ru_stime)"
    costs = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True, check=True)
        costs.append(float(done.stdout.splitlines()[-1]))
    assert min(costs) < 0.3, costs


def test_every_room_shows_its_commands() -> None:
    told = ocrfarm("--help").stdout
    for command in (
        "up",
        "api",
        "dispatcher",
        "worker",
        "read",
        "models",
        "submit",
        "status",
        "result",
        "list",
        "cancel",
        "doctor",
    ):
        assert f"\n  {command} " in told, told


def test_every_rooms_needs_are_told() -> None:
    listed = distribution("ocrfarm").entry_points.select(group=cli.GROUP)
    assert {entry.module for entry in listed} == set(cli.NEEDS) | {"ocrfarm.cli.commands"}


def test_a_room_whose_libraries_are_missing_is_not_shown() -> None:
    script = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("fastapi", "uvicorn"):
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Missing())
from ocrfarm.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True, check=True)
    assert "\n  worker " in done.stdout
    assert "\n  submit " in done.stdout
    for command, extra in {"up": "farm", "api": "api", "dispatcher": "api"}.items():
        assert f"\n  {command} " not in done.stdout
        words = [command, "--once", "letter.png"]  # whatever else is said: what is missing comes first
        missing = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True)
        assert missing.returncode == 2
        assert missing.stderr == (
            f"ocrfarm: `ocrfarm {command}` is not installed here; `pip install 'ocrfarm[{extra}]'` brings it.\n"
        )


def test_every_command_of_a_room_names_its_extra() -> None:
    """So that none of them is "no such command" on a client's machine."""
    app = typer.Typer()
    for entry in distribution("ocrfarm").entry_points.select(group=cli.GROUP):
        if entry.module in cli.NEEDS:
            entry.load()(app)
    assert cli.names(app) == set(cli.EXTRAS)


def test_version() -> None:
    assert ocrfarm("version").stdout.strip().count(".") == 2


# ---------------------------------------------------------------------------------------------------- errors


def test_errors_are_one_sentence_and_debug_shows_more() -> None:
    done = ocrfarm("status", OCRFARM_PORT="no number")
    assert done.returncode == 2
    assert done.stderr.startswith("ocrfarm: OCRFARM_PORT")
    assert done.stderr.count("\n") == 1
    done = ocrfarm("--debug", "status", OCRFARM_PORT="no number")
    assert "Traceback" in done.stderr


def test_what_names_nothing_is_said(tmp_path: Path) -> None:
    done = ocrfarm("submit", "nothing.png", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        "ocrfarm: There is no file nothing.png; check the name and the folder.\n",
    )
    assert ocrfarm("submit").returncode == 2


# ---------------------------------------------------------------------------------------------------- what is sent, where it goes


def test_files_folders_globs_and_each_once(tmp_path: Path) -> None:
    for name in ("a.png", "b.txt", "deep/c.PDF", "deep/d.png.txt", "deep/er/e.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = find([str(tmp_path), str(tmp_path / "*.png"), str(tmp_path / "b.txt"), str(tmp_path / "**" / "*.tif")])
    assert [str(item.place) for item in found] == ["a.png", "deep/c.PDF", "deep/er/e.tif", "b.txt"]
    with pytest.raises(BadOption, match=r"names no document|There is no file|matches no file"):
        find([str(tmp_path / "*.webp")])


def test_results_keep_the_inputs_name_and_never_meet() -> None:
    items = [Item(Path(p), Path(Path(p).name)) for p in ("x/a.png", "x/a.pdf", "y/a.png")]
    assert list(targets(items, None, "txt").values()) == [Path("x/a.png.txt"), Path("x/a.pdf.txt"), Path("y/a.png.txt")]
    chosen = list(targets(items, Path("out"), "json").values())
    assert chosen == [Path("out/a.png.json"), Path("out/a.pdf.json"), Path("out/a.png-2.json")]
    assert set(targets(items, Path("-"), "txt").values()) == {None}
    assert targets([Item(Path("-"), Path("stdin"))], None, "txt") == {Item(Path("-"), Path("stdin")): None}


# ---------------------------------------------------------------------------------------------------- with a gateway


@pytest.mark.farm
def test_submit_writes_beside_the_inputs(gateway: Gateway, hand: Hand, letter: Path) -> None:
    running = start("submit", letter, "--tag", "desk", "--cache", "off", url=gateway.url)
    hand.read("Dear Sir\nor Madam")
    out, err = running.communicate(timeout=30)
    assert running.returncode == 0, err
    assert out == ""
    assert letter.with_name("letter.png.txt").read_text() == "Dear Sir\nor Madam"
    assert not list(letter.parent.glob(".*"))
    listed = ocrfarm("list", "--tag", "desk", url=gateway.url).stdout
    assert "letter.png" in listed
    assert "succeeded" in listed


@pytest.mark.farm
def test_submit_of_a_folder_with_one_that_fails(gateway: Gateway, hand: Hand, tmp_path: Path) -> None:
    inputs, out = tmp_path / "in", tmp_path / "out"
    (inputs / "sub").mkdir(parents=True)
    (inputs / "a.png").write_bytes(png(secrets.randbits(32)))
    (inputs / "sub" / "locked.pdf").write_bytes(PDF + secrets.token_bytes(8))
    (inputs / "words.png").write_bytes(b"no picture at all")
    running = start("submit", inputs, "--out", out, "--format", "json", "-c", "1", url=gateway.url)
    hand.read("hello")
    hand.fail(Encrypted())
    _, err = running.communicate(timeout=30)
    assert running.returncode == 1
    document = json.loads((out / "a.png.json").read_text())
    assert document["text"] == "hello"
    assert sorted(p.name for p in out.rglob("*.json")) == ["a.png.json"]
    assert "2 of 3 not read" in err
    assert "encrypted" in err
    assert "unsupported_type" in err
    assert "locked.pdf" in err


@pytest.mark.farm
def test_submit_reads_stdin_and_prints(gateway: Gateway, hand: Hand) -> None:
    data = png(secrets.randbits(32))
    thread = hand.later(0.0, "through the pipe")
    done = ocrfarm("submit", "-", url=gateway.url, stdin=data)
    thread.join()
    assert (done.returncode, done.stdout) == (0, "through the pipe\n")


@pytest.mark.farm
def test_status_result_and_cancel(gateway: Gateway, hand: Hand, letter: Path) -> None:
    from ocrfarm import Client

    with Client(gateway.url) as farm:
        job, other = farm.submit(letter).id, farm.submit(png(secrets.randbits(32)), filename="[red]x.png").id
        hostile = farm.submit(png(secrets.randbits(32)), filename="\x1b[2J\u202egpj.png", tag="\x1b[31mt").id
        hand.read("read me")
        farm.wait(job, 10)
    assert "1 worker processes" in (told := ocrfarm("status", url=gateway.url).stdout), told
    assert "hand" in told
    told = ocrfarm("status", job, url=gateway.url).stdout
    assert "succeeded" in told
    assert "1/1" in told
    assert "[red]x.png" in ocrfarm("status", other, url=gateway.url).stdout  # a name is data
    for told in (ocrfarm("status", hostile, url=gateway.url).stdout, ocrfarm("list", url=gateway.url).stdout):
        assert "\ufffd[2J\ufffdgpj.png" in told  # and no order to the terminal
        assert not {"\x1b", "\u202e"} & set(told)
    assert "\ufffd[31mt" in told
    assert "balanced (default)" in ocrfarm("status", "--profiles", url=gateway.url).stdout
    assert ocrfarm("result", job, url=gateway.url).stdout == "read me"
    assert json.loads(ocrfarm("result", job, "-f", "json", url=gateway.url).stdout)["page_count"] == 1
    started = time.monotonic()
    done = ocrfarm("result", other, "--wait", "0.5", url=gateway.url)
    assert (done.returncode, time.monotonic() - started < 20) == (1, True)
    assert "still queued" in done.stderr
    assert ocrfarm("cancel", other, url=gateway.url).returncode == 0
    done = ocrfarm("cancel", other, job, url=gateway.url)
    assert done.returncode == 1
    assert done.stderr.count("ended") == 2
    assert ocrfarm("result", other, url=gateway.url).returncode == 1


def test_the_version_is_an_option_too() -> None:
    done = ocrfarm("--version")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, distribution("ocrfarm").version, "")


@pytest.mark.parametrize("command", [("up", "--once", "--no-samples"), ("read", "--profile", "accurate", "a.png")])
def test_an_unusable_state_folder_names_its_setting(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = ocrfarm(*command, cwd=tmp_path, OCRFARM_STATE=str(tmp_path / "file" / "state"))
    assert done.returncode == 1
    assert "Not a directory" in done.stderr
    assert "OCRFARM_STATE" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_shell_is_taught(tmp_path: Path) -> None:
    """Installed where bash looks for it, and what it then asks for is answered."""
    bash = shutil.which("bash")
    assert bash
    program = Path(sys.executable).with_name("ocrfarm")
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SHELL": bash}
    script = tmp_path / "install.sh"  # the shell above the command is what it teaches
    script.write_text(f'"{program}" --install-completion\necho done\n')
    done = subprocess.run([bash, str(script)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ".bash_completions" in (tmp_path / ".bashrc").read_text()

    def offered(typed: str) -> list[str]:
        asked = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "_OCRFARM_COMPLETE": "complete_bash"}
        return subprocess.run([program], env=env | asked, capture_output=True, text=True).stdout.split()

    assert offered("ocrfarm su") == ["submit"]
    assert offered("ocrfarm submit --form") == ["--format"]


def test_a_pdf_beside_its_document_is_a_result(tmp_path: Path) -> None:
    for name in ("a.png", "a.png.pdf", "b.pdf", "c.jpg.pdf"):
        (tmp_path / name).write_bytes(b"x")
    assert [item.place.name for item in find([str(tmp_path)])] == ["a.png", "b.pdf", "c.jpg.pdf"]
