"""Whose files, whose configuration, whose interpreter: the types oracle in workspaces of many shapes."""

from __future__ import annotations

import asyncio
import sys
import venv
from pathlib import Path

import pytest

from astral_lsp.holes.model import Span
from astral_lsp.report import Verdict
from astral_lsp.verify.types import TypesOracle

PYTHON = sys.executable


def lay(root: Path, files: dict[str, str]) -> Path:
    """Write ``files`` below ``root``."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


async def judge(oracle: TypesOracle, path: Path, text: str, *fills: str, marker: str = "$0") -> list[Verdict]:
    """Verdicts of ``fills`` at the marker of an unsaved buffer."""
    at = text.index(marker)
    return await oracle.check(
        str(path), text.replace(marker, "..."), Span(at, at + 3), fills, budget_ms=30000
    )


async def judged_until_failed(oracle: TypesOracle, path: Path, text: str, fill: str) -> list[Verdict]:
    """The verdict once what was just saved is seen."""
    for _ in range(30):  # the disk is looked at once a second
        found = await judge(oracle, path, text, fill)
        if found[0].status == "failed":
            break
        await asyncio.sleep(0.1)
    return found


async def statuses(root: Path, name: str, text: str, *fills: str, trusted: bool = False) -> list[str]:
    """The statuses alone, from a fresh oracle."""
    oracle = TypesOracle()
    try:
        assert await oracle.open(str(root), PYTHON, trusted) == ""
        return [v.status for v in await judge(oracle, root / name, text, *fills)]
    finally:
        await oracle.close()


OPTIONAL = "def f(n: int | None) -> int:\n    return $0\n"
LENIENT = {
    "mypy.ini": "[mypy]\nstrict_optional = False\n",
    ".mypy.ini": "[mypy]\nstrict_optional = False\n",
    "setup.cfg": "[mypy]\nstrict_optional = False\n",
    "pyproject.toml": "[tool.mypy]\nstrict_optional = false\n",
}


@pytest.mark.parametrize("name", sorted(LENIENT))
async def test_each_configuration_file_is_honoured(tmp_path: Path, name: str) -> None:
    lay(tmp_path, {name: LENIENT[name]})
    assert await statuses(tmp_path, "a.py", OPTIONAL, "n", "'x'") == ["passed", "failed"]


async def test_without_configuration_mypys_defaults_hold(tmp_path: Path) -> None:
    assert await statuses(tmp_path, "a.py", OPTIONAL, "n", "n or 0") == ["failed", "passed"]


async def test_options_of_one_module_reach_only_it(tmp_path: Path) -> None:
    lay(tmp_path, {"mypy.ini": "[mypy]\n[mypy-old.*]\nstrict_optional = False\n", "old/__init__.py": ""})
    oracle = TypesOracle()
    await oracle.open(str(tmp_path), PYTHON)
    old = await judge(oracle, tmp_path / "old" / "a.py", OPTIONAL, "n")
    new = await judge(oracle, tmp_path / "new.py", OPTIONAL, "n")
    await oracle.close()
    assert (old[0].status, new[0].status) == ("passed", "failed")


PER_MODULE = {
    "an error code": ("[mypy]\n[mypy-a]\ndisable_error_code = return-value\n", "n", "passed"),
    "strictness of one module": ("[mypy]\n[mypy-a]\nwarn_return_any = True\n", "eval('1')", "failed"),
    "a pattern": ("[mypy]\n[mypy-a.*]\nstrict_optional = False\n", "n", "passed"),
    "another module": ("[mypy]\n[mypy-b]\nstrict_optional = False\n", "n", "failed"),
    "imports not followed": ("[mypy]\nfollow_imports = skip\n", "n", "failed"),
}


@pytest.mark.parametrize("name", PER_MODULE)
async def test_options_by_module(tmp_path: Path, name: str) -> None:
    configuration, fill, status = PER_MODULE[name]
    lay(tmp_path, {"mypy.ini": configuration})
    assert await statuses(tmp_path, "a.py", OPTIONAL, fill, "0") == [status, "passed"]


ANY = "from typing import Any\ndef g(n: Any) -> Any: return n\ndef f(n: Any) -> int:\n    "
STRICT = {
    "an Any that the fill brings": ("return $0", ["n", "1"], ["failed", "passed"]),
    "by way of a variable": ("x = $0\n    return x", ["n", "1"], ["failed", "passed"]),
    "a whole statement": ("$0", ["return n", "return 1"], ["failed", "passed"]),
    "an Any whatever the fill": ("return g($0)", ["n", "1"], ["passed", "passed"]),
    "one that was there before": ("if n: return g(1)\n    return $0", ["1"], ["passed"]),
}


@pytest.mark.parametrize("name", STRICT)
async def test_the_open_hole_excuses_no_any(tmp_path: Path, name: str) -> None:
    body, fills, expected = STRICT[name]
    lay(tmp_path, {"mypy.ini": "[mypy]\nstrict = True\n"})
    assert await statuses(tmp_path, "a.py", f"{ANY}{body}\n", *fills) == expected


async def test_an_untyped_decorator_is_the_fills(tmp_path: Path) -> None:
    lay(tmp_path, {"mypy.ini": "[mypy]\nstrict = True\n"})
    text = "import functools\nfrom typing import Any\nraw: Any = None\n@$0\ndef f() -> int: return 1\n"
    assert await statuses(tmp_path, "a.py", text, "functools.cache", "raw") == ["passed", "failed"]


async def test_a_comment_in_the_file_counts(tmp_path: Path) -> None:
    text = "# mypy: warn-return-any\nfrom typing import Any\ndef f(n: Any) -> int:\n    return $0\n"
    assert await statuses(tmp_path, "a.py", text, "n", "1") == ["failed", "passed"]


async def test_the_users_interpreter_decides_which_packages_are_seen(tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"  # beside the workspace: this one may be run
    venv.create(other, symlinks=True)
    (site,) = (
        other.glob("lib/python*/site-packages")
        if sys.platform != "win32"
        else other.glob("Lib/site-packages")
    )
    lay(site, {"dep/__init__.py": "D: int = 1\n", "dep/py.typed": "", "bare.py": "D = 1\n"})
    lay(site, {"bare-stubs/__init__.pyi": "D: int\n", "plain/__init__.py": "D: int = 1\n"})
    root = lay(tmp_path / "workspace", {"pyproject.toml": ""})
    text = "import dep, plain, bare\ndef f() -> str:\n    return $0\n"
    fills = ["dep.D", "bare.D", "plain.D", "''"]
    seen = {}
    binary = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    for python in (str(other / binary), PYTHON):
        oracle = TypesOracle()
        assert await oracle.open(str(root), python, True) == ""
        seen[python] = [v.status for v in await judge(oracle, root / "a.py", text, *fills)]
        await oracle.close()
    # a package without py.typed or stubs says nothing about types
    assert seen[str(other / binary)] == ["failed", "failed", "passed", "passed"]
    assert seen[PYTHON] == ["passed"] * 4


async def test_a_silenced_module_is_judged_all_the_same(tmp_path: Path) -> None:
    lay(tmp_path, {"mypy.ini": "[mypy]\n[mypy-a]\nignore_errors = True\n"})
    assert await statuses(tmp_path, "a.py", OPTIONAL, "n", "1") == ["failed", "passed"]


async def test_a_file_that_turns_mypy_off_is_unavailable(tmp_path: Path) -> None:
    text = "# mypy: ignore-errors\n" + OPTIONAL
    assert await statuses(tmp_path, "a.py", text, "n") == ["unavailable"]
    assert await statuses(tmp_path, "a.py", "# type: ignore\n" + OPTIONAL, "n") == ["unavailable"]


async def test_a_broken_configuration_is_said(tmp_path: Path) -> None:
    lay(tmp_path, {"mypy.ini": "[mypy\nstrict = maybe"})
    oracle = TypesOracle()
    why = await oracle.open(str(tmp_path), PYTHON)
    verdicts = await judge(oracle, tmp_path / "a.py", OPTIONAL, "1")
    await oracle.close()
    assert verdicts[0].status in ("passed", "unavailable")
    assert why or oracle.about["notes"]


B = "B: int = 1\n"
PACKAGE = {"pkg/__init__.py": "", "pkg/b.py": B}
SOURCE = {"src/pkg/__init__.py": "", "src/pkg/b.py": B}
BASES = "[mypy]\nexplicit_package_bases = True\n"
LAYOUTS: dict[str, tuple[dict[str, str], str, str]] = {
    "flat package": (PACKAGE, "pkg/a.py", "pkg.b"),
    "relative": (PACKAGE, "pkg/a.py", ".b"),
    "src": (SOURCE, "src/pkg/a.py", "pkg.b"),
    "tests beside src": (SOURCE, "tests/a.py", "pkg.b"),
    "tests beside package": (PACKAGE, "tests/a.py", "pkg.b"),
    "namespace": ({"ns/pkg/b.py": B, "mypy.ini": BASES}, "ns/pkg/a.py", "ns.pkg.b"),
    "namespace without configuration": ({"ns/pkg/b.py": B}, "ns/pkg/a.py", "ns.pkg.b"),
    "stubs on mypy_path": (
        {"typings/b.pyi": B, "mypy.ini": "[mypy]\nmypy_path = typings\n"},
        "a.py",
        "b",
    ),
    "stubs of a package without types": (
        {
            "typings/lib/__init__.pyi": "",
            "typings/lib/b.pyi": B,
            "mypy.ini": "[mypy]\nmypy_path = $MYPY_CONFIG_FILE_DIR/typings\n",
        },
        "a.py",
        "lib.b",
    ),
    "a source root of its own": (
        {
            "code/lib/__init__.py": "",
            "code/lib/b.py": B,
            "pyproject.toml": '[tool.mypy]\nmypy_path = "code"\nexplicit_package_bases = true\n',
        },
        "code/lib/a.py",
        "lib.b",
    ),
    "package init": ({"pkg/b.py": B}, "pkg/__init__.py", ".b"),
    "stub": ({"b.py": "B = object()\n", "b.pyi": "B: int\n"}, "a.py", "b"),
    "script with dashes": ({"b.py": B}, "my-script.py", "b"),
    "called like the standard library": ({"b.py": B}, "random.py", "b"),
    "own stub beside it": ({"b.py": B, "a.pyi": "def other() -> None: ...\n"}, "a.py", "b"),
    "folder with dashes": ({"my-app/b.py": B}, "my-app/a.py", "b"),
    "no suffix": ({"b.py": B}, "tool", "b"),
    "new folder": ({"b.py": B}, "not/yet/there.py", "b"),
}


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
async def test_new_files_in_many_layouts(tmp_path: Path, layout: str) -> None:
    files, name, module = LAYOUTS[layout]
    lay(tmp_path, files)
    text = f"from {module} import B\ndef f(n: int) -> int:\n    return $0\n"
    assert await statuses(tmp_path, name, text, "B + n", "B + ''", "B.nope") == ["passed", "failed", "failed"]


async def test_a_file_that_mypy_refuses_for_its_name_is_unavailable(tmp_path: Path) -> None:
    oracle = TypesOracle()
    await oracle.open(str(tmp_path), PYTHON)
    verdicts = await judge(oracle, tmp_path / "types.py", OPTIONAL, "1")
    others = await judge(oracle, tmp_path / "a.py", OPTIONAL, "1")
    await oracle.close()
    assert verdicts[0].status == "unavailable"
    assert "shadows library module" in verdicts[0].detail
    assert others[0].status == "passed"


async def test_files_of_one_name_in_two_folders(tmp_path: Path) -> None:
    lay(tmp_path, {"one/x.py": "A: int = 1\n", "two/x.py": "A: str = ''\n"})
    oracle = TypesOracle()
    await oracle.open(str(tmp_path), PYTHON)
    text = "import x\ndef f() -> int:\n    return $0\n"
    seen = [
        (await judge(oracle, tmp_path / d / "u.py", text, "x.A"))[0].status for d in ("one", "two", "one")
    ]
    await oracle.close()
    assert seen == ["passed", "failed", "passed"]


async def test_a_buffer_wins_over_the_saved_file_and_other_files_follow_the_disk(tmp_path: Path) -> None:
    lay(tmp_path, {"b.py": "B: int = 1\n", "a.py": "saved = 'nonsense'\n"})
    oracle = TypesOracle()
    await oracle.open(str(tmp_path), PYTHON)
    text = "from b import B\ndef f() -> int:\n    return $0\n"
    first = await judge(oracle, tmp_path / "a.py", text, "B")
    lay(tmp_path, {"b.py": "B: str = 'longer than before'\n"})
    second = await judged_until_failed(oracle, tmp_path / "a.py", text, "B")
    await oracle.close()
    assert (first[0].status, second[0].status) == ("passed", "failed")


async def test_a_file_saved_after_it_was_shown_is_read_from_disk_again(tmp_path: Path) -> None:
    oracle = TypesOracle()
    await oracle.open(str(tmp_path), PYTHON)
    await judge(oracle, tmp_path / "b.py", "B: int = 1\ndef f() -> int:\n    return $0\n", "B")
    text = "from b import B\ndef f() -> int:\n    return $0\n"
    first = await judge(oracle, tmp_path / "a.py", text, "B")
    lay(tmp_path, {"b.py": "B: str = ''\n"})
    second = await judged_until_failed(oracle, tmp_path / "a.py", text, "B")
    await oracle.close()
    assert (first[0].status, second[0].status) == ("passed", "failed")


async def test_a_module_that_appears_is_found(tmp_path: Path) -> None:
    oracle = TypesOracle()
    await oracle.open(str(tmp_path), PYTHON)
    text = "from late import B\ndef f() -> int:\n    return $0\n"
    first = await judge(oracle, tmp_path / "a.py", text, "B")
    lay(tmp_path, {"late.py": "B: str = ''\n"})
    second = await judged_until_failed(oracle, tmp_path / "a.py", text, "B")
    await oracle.close()
    assert (first[0].status, second[0].status) == ("passed", "failed")


async def test_missing_imports_are_not_held_against_a_fill(tmp_path: Path) -> None:
    text = "import not_there\nfrom nor_this import thing\ndef f() -> int:\n    return $0\n"
    assert await statuses(tmp_path, "a.py", text, "not_there.x", "thing()", "''") == [
        "passed",
        "passed",
        "failed",
    ]


PLUGIN = """
from pathlib import Path
from mypy.plugin import Plugin
Path(__file__).with_name("ran").write_text("yes")
def plugin(version: str) -> type[Plugin]:
    return Plugin
"""


@pytest.mark.parametrize("trusted", [False, True])
async def test_workspace_plugins_load_only_when_trusted(tmp_path: Path, trusted: bool) -> None:
    lay(tmp_path, {"mypy.ini": "[mypy]\nplugins = ./plug.py\n", "plug.py": PLUGIN})
    assert await statuses(tmp_path, "a.py", OPTIONAL, "1", "n", trusted=trusted) == ["passed", "failed"]
    assert (tmp_path / "ran").exists() == trusted


async def test_an_untrusted_workspaces_interpreter_is_not_run(tmp_path: Path) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    lay(tmp_path, {".venv/bin/python": f'#!/bin/sh\ntouch {tmp_path}/ran\nexec {PYTHON} "$@"\n'})
    lay(tmp_path, {".venv/lib/python3.11/site-packages/dep.py": "D: int = 1\n"})
    python.chmod(0o755)
    text = "import dep\ndef f() -> str:\n    return $0\n"
    oracle = TypesOracle()
    assert await oracle.open(str(tmp_path), str(python), False) == ""
    verdicts = await judge(oracle, tmp_path / "a.py", text, "dep.D", "''")
    await oracle.close()
    assert [v.status for v in verdicts] == ["failed", "passed"]
    assert not (tmp_path / "ran").exists()


async def test_nothing_is_written_to_the_workspace(tmp_path: Path) -> None:
    lay(tmp_path, {"mypy.ini": "[mypy]\ncache_dir = here\njunit_xml = junit.xml\nhtml_report = report\n"})
    before = sorted(p.name for p in tmp_path.rglob("*"))
    assert await statuses(tmp_path, "a.py", OPTIONAL, "1") == ["passed"]
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


async def test_a_module_of_ours_in_the_workspace_does_not_shadow_ours(tmp_path: Path) -> None:
    names = ["mypy.py", "msgspec.py", "ast.py", "astral_lsp/__init__.py", "tree_sitter.py"]
    lay(tmp_path, dict.fromkeys(names, "raise SystemExit('shadowed')\n"))
    assert await statuses(tmp_path, "a.py", OPTIONAL, "1", "n") == ["passed", "failed"]
