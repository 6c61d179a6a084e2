"""The user's mypy configuration, made safe and fit for a warm build.

What the user set about types is honoured (mypy.ini, .mypy.ini, pyproject.toml, setup.cfg, found as mypy finds
them); what writes files, runs an untrusted workspace's code or changes the form of messages is not.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import dataclass, field

from mypy.config_parser import parse_config_file
from mypy.defaults import PYTHON3_VERSION_MIN
from mypy.main import process_options
from mypy.options import BuildType, Options


class ConfigurationError(Exception):
    """mypy cannot be set up here; the message is one sentence for people."""


@dataclass
class Configuration:
    """Options of the build and of the search for module names."""

    options: Options
    naming: Options
    """The user's own options: what decides a file's module name."""
    notes: list[str] = field(default_factory=list)
    untyped: dict[str, bool] = field(default_factory=dict)
    """``check_untyped_defs`` as the user has set it, by module pattern; '' is for all others."""

    def checks_untyped(self, module: str) -> bool:
        """Whether the user's mypy checks functions without annotations in ``module``."""
        written = self.options.apply_changes({})
        patterns = {pattern: dict(changes) for pattern, changes in self.options.per_module_options.items()}
        written.per_module_options = patterns
        _write_untyped(written, self.untyped)
        return written.clone_for_module(module).check_untyped_defs

    def leave_untyped(self) -> None:
        """Take the user's own setting for what is read from now on."""
        _write_untyped(self.options, self.untyped)


def configure(root: str, python: str, trusted: bool) -> Configuration:
    """Read the configuration that mypy would use in ``root``; the working directory must be ``root``.

    Raises ConfigurationError.
    """
    notes: list[str] = []
    options = _user_options(root, python, trusted, notes)
    naming = _for_naming(options)
    if options.plugins and not trusted:
        notes.append("mypy plugins not loaded: untrusted workspace")
        options.plugins = []
    source = os.path.join(root, "src")
    if os.path.isdir(source) and source not in options.mypy_path:
        options.mypy_path = [*options.mypy_path, source]
    untyped = _take_untyped(options)
    _make_warm(options)
    return Configuration(options, naming, notes, untyped)


def _user_options(root: str, python: str, trusted: bool, notes: list[str]) -> Options:
    flags: list[str] = []
    if python and not trusted and _inside(python, root):
        # running it would run the workspace's code
        notes.append("the workspace's own interpreter is not run: untrusted workspace")
        flags += ["--no-site-packages"]
    elif python:
        flags += ["--python-executable", python]
        if not _config_sets_version():
            flags += _version_flags(python, notes)
    said = io.StringIO()
    try:
        _, options = process_options(
            [*flags, "-c", "pass"], stdout=said, stderr=said, require_targets=False, server_options=True
        )
    except SystemExit:
        first = said.getvalue().strip().splitlines() or ["no reason given"]
        raise ConfigurationError(f"mypy refuses its configuration: {first[-1]}") from None
    except Exception as error:  # a broken configuration file ends in many kinds of error
        raise ConfigurationError(f"mypy cannot read its configuration: {error}") from error
    notes.extend(line for line in said.getvalue().splitlines() if line.strip())
    if python and "--no-site-packages" in flags:
        options.mypy_path = [*options.mypy_path, *_site_packages_unrun(python)]
    return options


def _inside(path: str, root: str) -> bool:
    # not realpath: a virtual environment's interpreter is a link out of it, but it runs the environment
    full, base = os.path.abspath(path), os.path.abspath(root)
    return full.startswith(base.rstrip(os.sep) + os.sep)


def _site_packages_unrun(python: str) -> list[str]:
    """Where a virtual environment keeps its packages, by its layout alone."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(python)))
    windows = os.path.join(home, "Lib", "site-packages")
    if os.path.isdir(windows):
        return [windows]
    lib = os.path.join(home, "lib")
    names = sorted(os.listdir(lib)) if os.path.isdir(lib) else []
    found = [os.path.join(lib, n, "site-packages") for n in names if n.startswith("python")]
    return [path for path in found if os.path.isdir(path)]


def _config_sets_version() -> bool:
    probe = Options()
    probe.python_version = (3, 0)  # no configuration can say this
    quiet = io.StringIO()
    try:
        parse_config_file(probe, lambda: None, None, quiet, quiet)
    except (Exception, SystemExit):
        return False
    return probe.python_version != (3, 0)


def _version_flags(python: str, notes: list[str]) -> list[str]:
    if os.path.abspath(python) == os.path.abspath(sys.executable):
        version = sys.version_info[:2]
    else:
        command = [python, "-I", "-c", "import sys; print(*sys.version_info[:2])"]
        try:
            said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
            major, minor = said.split()
            version = (int(major), int(minor))
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise ConfigurationError(f"the interpreter {python} does not run: {error}") from error
    if version < PYTHON3_VERSION_MIN:
        lowest = ".".join(map(str, PYTHON3_VERSION_MIN))
        notes.append(f"checked as Python {lowest}: mypy no longer knows {version[0]}.{version[1]}")
        version = PYTHON3_VERSION_MIN
    return ["--python-version", f"{version[0]}.{version[1]}"]


def _for_naming(options: Options) -> Options:
    """The part of the user's options that decides module names, before we add search paths of our own."""
    naming = Options()
    naming.namespace_packages = options.namespace_packages
    naming.explicit_package_bases = options.explicit_package_bases
    naming.mypy_path = list(options.mypy_path)
    return naming


def _take_untyped(options: Options) -> dict[str, bool]:
    """Take ``check_untyped_defs`` out of ``options``: the warm build looks into every function."""
    found = {"": options.check_untyped_defs}
    for pattern, changes in options.per_module_options.items():
        if "check_untyped_defs" in changes:
            found[pattern] = bool(changes.pop("check_untyped_defs"))
    return found


def _write_untyped(options: Options, untyped: dict[str, bool]) -> None:
    for pattern, value in untyped.items():
        if pattern:
            options.per_module_options[pattern]["check_untyped_defs"] = value
        else:
            options.check_untyped_defs = value
    options._per_module_cache = None
    options._glob_options = []


def _make_warm(options: Options) -> None:
    """Fine-grained, in memory, nothing written, messages in the one form that `messages` reads."""
    options.incremental = True
    options.fine_grained_incremental = True
    options.local_partial_types = True
    options.use_fine_grained_cache = False
    options.cache_fine_grained = False
    options.cache_dir = os.devnull
    options.sqlite_cache = False
    options.num_workers = 0
    options.report_dirs = {}
    options.junit_xml = None
    options.install_types = False
    options.check_untyped_defs = True
    options.raise_exceptions = True
    options.show_traceback = False
    options.pdb = False
    options.show_column_numbers = True
    options.show_error_end = True
    options.show_absolute_path = True
    options.show_error_context = False
    options.hide_error_codes = False
    options.show_error_code_links = False
    options.pretty = False
    options.output = None
    options.error_summary = False
    options.many_errors_threshold = -1
    options.warn_unused_configs = False
    options.warn_unused_ignores = False
    options.verbosity = 0
    options.dump_type_stats = options.dump_inference_stats = False
    options.timing_stats = options.line_checking_stats = None
    options.shadow_file = None
    options.preserve_asts = False
    options.build_type = BuildType.STANDARD
