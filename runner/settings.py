"""Turn a project's configuration, the environment and the command line into the Connection a flow is played over."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runner.console import is_ci
from runner.diagnostics import Diagnostic, Problems, Span
from runner.forms import key
from runner.hosts import is_loopback
from runner.values import dataclass
from runner.words import _, listed
from runner.words import nearest as nearest_name

if TYPE_CHECKING:
    from runner.targets import Connection

__all__ = ["Settings", "SettingsProblem", "choose", "load"]

KEY_VARIABLES = ("DASHSCOPE_API_KEY",)
"""What a `.env` may set. Everything else in it belongs to other programs and is left alone."""

BASE_URL_VARIABLES = {"DASHSCOPE_API_KEY": "DASHSCOPE_HTTP_BASE_URL"}
"""Where the vendor's own SDK finds its base URL; `runflow serve` prints it. Like the key, it is the person's to set."""

VENDOR_HOSTS = {
    "DASHSCOPE_API_KEY": (
        "dashscope.aliyuncs.com",
        "dashscope-intl.aliyuncs.com",
        "dashscope-us.aliyuncs.com",
        "cn-hongkong.dashscope.aliyuncs.com",
        ".maas.aliyuncs.com",
    )
}
"""Where a vendor's key may go because a folder's configuration says so; a leading dot stands for any name before it."""


class SettingsProblem(Exception):
    """No target can be used as things stand; the message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What `runflow.toml`, or `[tool.runflow]` in pyproject.toml, says; and the keys of the `.env` beside it."""

    target: str | None = key(
        "The service to use when neither the command line nor the flow names one", "dashscope", default=None
    )
    base_url: str | None = key("Where the service is reached", "https://dashscope-intl.aliyuncs.com/api/v1", default=None)
    workspace: str | None = key("The workspace whose key is used", "ws-41aa", default=None)
    streaming: bool = key("Whether answers are streamed; false polls", False, default=True)
    out: str = key("The folder that pictures are saved to, below this file's folder", "runflow-out", default="runflow-out")
    env: tuple[str, ...] = key(
        "Variables of the environment that texts may use as `${env.NAME}`, once this file is trusted",
        ["SHOP_TOKEN"],
        default=(),
    )
    path: Path | None = None
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    def with_keys(self, environment: Mapping[str, str]) -> dict[str, str]:
        """`environment` with the keys of `.env` that it does not set itself."""
        return {**self.keys, **{name: value for name, value in environment.items() if value or name not in self.keys}}

    @property
    def folder(self) -> Path:
        return self.path.parent if self.path else Path()


OURS = tuple(each.name for each in fields(Settings) if each.metadata)


def load(start: Path, environment: Mapping[str, str]) -> Settings:
    """The settings that hold in the folder `start`: the nearest file upwards. Raise Problems for a file that is not right."""
    found = nearest(start)
    settings = read(found) if found else Settings()
    dotenv = nearest_dotenv(start)
    return replace(settings, keys=keys(dotenv)) if dotenv else settings


def nearest(start: Path) -> Path | None:
    paths = (folder / name for folder in upwards(start) for name in ("runflow.toml", "pyproject.toml"))
    return next((path for path in paths if path.is_file() and holds_settings(path)), None)


def holds_settings(path: Path) -> bool:
    """Whether a file is ours; a pyproject.toml that does not even mention us may be broken without our minding."""
    if path.name == "runflow.toml":
        return True
    try:
        return b"runflow" in path.read_bytes() and table_of(path) is not None
    except OSError:
        return False


def upwards(start: Path) -> Iterator[Path]:
    """The folder itself, under the name it was given, and all above it."""
    yield start
    yield from start.absolute().parents


def nearest_dotenv(start: Path) -> Path | None:
    for folder in upwards(start):
        if (folder / ".env").is_file():
            return folder / ".env"
    return None


def table_of(path: Path) -> Mapping[str, object] | None:
    """The settings in a file as TOML reads them; None when a pyproject.toml has none. Raise Problems when it is not TOML."""
    import tomllib

    try:
        whole: Mapping[str, object] = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise Problems([Diagnostic("not-utf-8", _("this file is not UTF-8"), str(path))]) from error
    except tomllib.TOMLDecodeError as error:
        raise Problems([toml_problem(path, error)]) from error
    if path.name == "runflow.toml":
        return whole
    tool = whole.get("tool")
    ours = tool.get("runflow") if isinstance(tool, dict) else None
    return ours if isinstance(ours, dict) else None


def unreadable(path: Path, error: OSError) -> Problems:
    message = _("this file cannot be read: {reason}").format(reason=error.strerror)
    return Problems([Diagnostic("unreadable-file", message, str(path))])


def toml_problem(path: Path, error: ValueError) -> Diagnostic:
    text = str(error)
    place = re.search(r"at line (\d+), column (\d+)", text)
    line, column = (int(place[1]), int(place[2])) if place else (1, 1)
    reason = re.sub(r"\s*\(at .*\)$", "", text)
    return Diagnostic(
        "toml-syntax",
        _("this is not TOML: {reason}").format(reason=reason[:1].lower() + reason[1:]),
        str(path),
        Span(line, column, line, column + 1),
        hint=_('write `name = "value"`, one on a line'),
    )


def read(path: Path) -> Settings:
    """The settings in one file; raise Problems with everything that is wrong in it."""
    table = table_of(path) or {}
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    found = [problem for name, value in table.items() if (problem := judge(path, lines, name, value))]
    if found:
        raise Problems(found)
    env = table.get("env", ())
    return Settings(**{**table, "env": tuple(env)}, path=path)  # type: ignore[arg-type]


def judge(path: Path, lines: Sequence[str], name: str, value: object) -> Diagnostic | None:
    """What is wrong with one setting, at its line; None when it is right."""
    if name not in OURS:
        close = nearest_name(name, OURS)
        hint = (
            _("did you mean `{name}`?").format(name=close)
            if close
            else _("the settings are {known}").format(known=listed(OURS))
        )
        return Diagnostic(
            "unknown-setting", _("unknown setting `{name}`").format(name=name), str(path), at(lines, name), hint=hint
        )
    sentence = complaint(path.parent, name, value)
    return Diagnostic("setting-value", sentence, str(path), at(lines, name, value=True)) if sentence else None


def complaint(folder: Path, name: str, value: object) -> str | None:
    if name == "streaming":
        return None if isinstance(value, bool) else _("`streaming` is true or false")
    if name == "env":
        return not_for_texts(value)
    if not isinstance(value, str) or not value:
        return _('`{name}` is a text; write `{name} = "…"`').format(name=name)
    if name == "workspace" and not re.fullmatch(r"[\w.-]+", value, re.ASCII):
        return _("a workspace id has letters, digits, `.`, `_` and `-` only")
    if name == "base_url":
        return unsafe(value)
    if name == "out" and not (folder / value).resolve().is_relative_to(folder.resolve()):
        return _("pictures are saved below this folder only; `--out` may name any folder")
    return None


def not_for_texts(value: object) -> str | None:
    """What is wrong with the names of variables that texts may use."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return _('`env` is a list of names; write `env = ["SHOP_TOKEN"]`')
    for name in value:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            return _("`{name}` is no name of a variable; write it like `SHOP_TOKEN`").format(name=name)
        if name.upper() in KEY_VARIABLES or name.upper().startswith("RUNFLOW_"):
            return _("`{name}` is never put into a text: it holds a key, or is runflow's own").format(name=name)
    return None


def at(lines: Sequence[str], name: str, *, value: bool = False) -> Span | None:
    """Where a setting's name stands, or its value: TOML readers keep no places."""
    inside = not any(line.strip().startswith("[tool.runflow]") for line in lines)
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("["):
            inside = line.strip().startswith(("[tool.runflow]", f"[{name}", f"[tool.runflow.{name}"))
            if inside and (found := re.search(rf"\b{re.escape(name)}\b", line)) and name != "runflow":
                return Span(number, found.start() + 1, number, found.end() + 1)
            continue
        found = re.match(rf"""\s*(["']?{re.escape(name)}["']?)\s*[=.]\s*(.*?)\s*$""", line) if inside else None
        if found:
            start, end = found.span(2 if value and found[2] else 1)
            return Span(number, start + 1, number, end + 1)
    return None


def keys(path: Path) -> dict[str, str]:
    """The key variables a `.env` sets. Raise Problems when it is not UTF-8."""
    from dotenv import dotenv_values

    try:
        values = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problems([Diagnostic("not-utf-8", _("this file is not UTF-8"), str(path))]) from error
    except OSError as error:
        raise unreadable(path, error) from error
    return {name: value for name in KEY_VARIABLES if (value := values.get(name))}


def unsafe(base_url: str) -> str | None:
    """Why a key must not be sent to this base URL; None when it may."""
    try:
        parts = urlsplit(base_url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return _("`{url}` is not a URL").format(url=base_url)
    if parts.scheme not in {"http", "https"} or not host:
        return _("`{url}` is not a URL; write it like `https://host/api/v1`").format(url=base_url)
    if parts.username is not None or parts.password is not None:
        return _("a base URL holds no user name and no password")
    if parts.query or parts.fragment:
        return _("a base URL ends with its path; leave out what follows `?` or `#`")
    if parts.scheme == "http" and not is_loopback(host):
        return _("`{url}` is not encrypted; write `https`: only this machine may be reached by http").format(url=base_url)
    return None


def belongs(host: str, variable: str) -> bool:
    """Whether `host` is the vendor's whose key `variable` holds."""
    return any(host.endswith(known) if known.startswith(".") else host == known for known in VENDOR_HOSTS.get(variable, ()))


def choose(
    flow_target: str | None,
    option: str | None = None,
    *,
    environment: Mapping[str, str],
    settings: Settings,
    base_url: str | None = None,
    streaming: bool = True,
    needs_key: bool = True,
) -> "Connection":
    """The service for one flow and why it was chosen. Raise SettingsProblem when there is none or it may not be used.

    The order: `option` (from the command line), RUNFLOW_TARGET, the flow, configuration, then what the keys in the
    environment allow. The base URL is `base_url`, else the SDK's variable, else configuration's, else the target's own.
    With `needs_key` False the key may be missing, for a plan that sends nothing.
    """
    from runner.registry import targets
    from runner.targets import Connection

    present = settings.with_keys(environment)
    name, reason = named(flow_target, option, present, settings)
    if name not in targets:
        close = nearest_name(name, targets)
        hint = (
            _("did you mean `{name}`?").format(name=close)
            if close
            else _("known: {names}").format(names=listed(sorted(targets)))
        )
        raise SettingsProblem(_("unknown target `{name}` ({reason}); {hint}").format(name=name, reason=reason, hint=hint))
    kind = targets[name]
    if kind.key_variable is None and base_url:
        raise SettingsProblem(
            _("`{name}` runs inside runflow and has no base URL; leave it out, or write another `--target`").format(name=name)
        )
    elsewhere = BASE_URL_VARIABLES.get(kind.key_variable or "", "")
    if not base_url and (base_url := environment.get(elsewhere)):
        reason = _("{reason}; base URL from {variable}").format(reason=reason, variable=elsewhere)
    address = base_url or (settings.base_url if kind.key_variable else None)
    if base_url and (sentence := unsafe(base_url)):
        raise SettingsProblem(sentence)
    if address and not base_url:
        refuse_foreign_host(address, kind.key_variable, settings)
    if needs_key and kind.key_variable:
        check_key(present.get(kind.key_variable, ""), kind.key_variable, name, reason)
    return Connection(
        target=name,
        base_url=(address or kind.default_base_url).rstrip("/"),
        reason=reason,
        key_variable=kind.key_variable,
        workspace=settings.workspace if kind.key_variable else None,
        streaming=streaming and settings.streaming,
    )


def check_key(key: str, variable: str, name: str, reason: str) -> None:
    if not key.strip():
        raise SettingsProblem(
            _("target `{name}` ({reason}) needs a key; set the environment variable {variable}").format(
                name=name, reason=reason, variable=variable
            )
        )
    if not (key.isascii() and key.strip().isprintable()):
        raise SettingsProblem(_("{variable} holds characters that no key has; copy it again").format(variable=variable))


def named(flow_target: str | None, option: str | None, environment: Mapping[str, str], settings: Settings) -> tuple[str, str]:
    """A target's name and, in words, who named it."""
    if option:
        return option, _("named by --target")
    if variable := environment.get("RUNFLOW_TARGET"):
        return variable, _("named by RUNFLOW_TARGET")
    if flow_target:
        return flow_target, _("named in the flow")
    if settings.target:
        assert settings.path is not None
        return settings.target, _("named in {file}").format(file=settings.path.name)
    for variable in KEY_VARIABLES:
        if environment.get(variable):
            return "dashscope", _("{variable} is set").format(variable=variable)
    if is_ci(environment):
        raise SettingsProblem(
            _("CI is set and nothing names a target; a pass on the embedded service would say nothing about a model. ")
            + _("write `--target embedded` to check the flows alone, or set DASHSCOPE_API_KEY")
        )
    return "embedded", _("no DASHSCOPE_API_KEY is set")


def refuse_foreign_host(address: str, variable: str | None, settings: Settings) -> None:
    """A folder's configuration is as untrusted as its flows: it must not send a vendor's key to somebody else."""
    host = urlsplit(address).hostname or ""
    if variable is None or is_loopback(host) or belongs(host, variable):
        return
    raise SettingsProblem(
        _(
            "{file} sends {variable} to {host}, which is not the vendor's; give `--base-url {url}` yourself if you trust it"
        ).format(file=settings.path, variable=variable, host=host, url=address)
    )
