"""`tap-rest preview` and `init`: what helps to write a config. A run itself has options only, as Singer says."""

from __future__ import annotations

import json
import logging
from importlib.resources import files
from typing import Any, NoReturn

import click

from singerkit_shell.arguments import Commands
from singerkit_shell.command import merged_config
from singerkit_shell.errors import UsageError
from singerkit_shell.exits import run_commands
from singerkit_shell.previews import NotAllReadable, check_streams, print_look
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from singerkit_shell.validate import CONFIG_PATHS, nearest
from tap_rest.linting.command import lint

__all__ = ["COMMANDS", "main"]

NAME = "tap-rest"
_READY = files("tap_rest") / "ready"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, expose_value=False, help="Print a traceback with every error.")
def command() -> None:
    """Commands that help to write a config; without one, tap-rest reads what --config says."""


@command.command()
@click.argument("url", required=False)
@click.option("-c", "--config", "paths", multiple=True, help="A config: looks at its streams.")
@click.option(
    "-s", "--stream", "names", multiple=True, help="Look at this stream only; may be given more than once."
)
@click.option(
    "-n", "--rows", default=5, show_default=True, type=click.IntRange(0, 1000), help="So many rows of each."
)
@click.option("-H", "--header", "headers", multiple=True, help="With URL: a header, as `Name: value`.")
@click.option("-r", "--records", help="With URL: where the records are, as `$.data[*]`.")
def preview(
    url: str | None,
    paths: tuple[str, ...],
    names: tuple[str, ...],
    rows: int,
    headers: tuple[str, ...],
    records: str | None,
) -> None:
    """Show the first page of each stream: the request, the count, a typed table, and in red what looks wrong.

    With a URL in the place of a config: print a config for it, drafted from its answer.
    """
    if (url is None) == (not paths):
        raise UsageError("Expected either a URL or `--config FILE`, nothing was asked.")
    if url is not None:
        if names:
            raise UsageError(
                "`--stream` names streams of a config, and has no effect beside a URL; nothing was asked."
            )
        _draft(url, _headers(headers), records, rows)
        return
    if headers or records:
        raise UsageError(
            "`--header` and `--records` go with a URL; with `--config` they stand in the config."
        )
    _preview(paths, names, rows)


def _preview(paths: tuple[str, ...], names: tuple[str, ...], rows: int) -> None:
    from tap_rest.preview.looking import look_at
    from tap_rest.streams import RestStream

    click.get_current_context().meta[CONFIG_PATHS] = list(paths)
    tap = _tap_of(merged_config(*paths).config)
    streams = {one.name: one for one in tap.unread_streams().values() if isinstance(one, RestStream)}
    check_streams(names, streams)
    code = 0
    for name, stream in streams.items():
        if name in names or (not names and stream.settings.selected):
            look = look_at(stream, rows)
            print_look(look, err=False)
            code = code or look.code
    tap.client.close()
    if code:
        raise NotAllReadable(code)


def _draft(url: str, headers: dict[str, str], records: str | None, rows: int) -> None:
    from tap_rest.preview.looking import look_at
    from tap_rest.preview.proposing import config_of_url, with_findings, with_references

    config = config_of_url(url, headers, records)
    [stream] = config["streams"]
    asking = {**config, "streams": [{**stream, "pagination": {"type": "single"}}]}
    tap = _tap_of(asking)
    [found] = tap.unread_streams().values()
    logging.getLogger(NAME).setLevel(logging.ERROR)  # what a run would warn of goes into the config
    page = next(found.first_pages(None))
    config = with_findings(config, page)
    look = look_at(found, rows)
    look.doubts.clear()
    print_look(look, err=True)
    tap.client.close()
    config, references = with_references(config)
    if references:
        click.echo(
            f"What may be secret goes into variables of the environment, which the config names: {', '.join(references)}.",
            err=True,
        )
    click.echo(json.dumps(config, indent=2, ensure_ascii=False))


def _headers(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise UsageError("Expected a header as `Name: value`; nothing was asked.")
        found[name.strip()] = value.strip()
        redactor.add(value.strip())
    return found


def _tap_of(config: dict[str, Any]) -> Any:
    return click.get_current_context().obj(config=config, setup_mapper=False)


@command.command()
@click.argument("name", required=False)
@click.option("--list", "is_list", is_flag=True, help="Name the APIs that have a ready config.")
@click.option(
    "--openapi", help="Draft a config from an OpenAPI document: a file of version 3.0, 3.1 or 2.0 (Swagger)."
)
@click.option(
    "--path",
    "wanted",
    multiple=True,
    help="With --openapi: the path of a list in the document, as `/users/{id}/*`; may be given more than once.",
)
@click.option(
    "--from-msdk",
    "old",
    help="Take over a config of Meltano's tap-rest-api-msdk: its JSON or YAML, or a meltano.yml.",
)
def init(
    name: str | None, is_list: bool, openapi: str | None, wanted: tuple[str, ...], old: str | None
) -> None:
    """Print a ready config of a well-known API: `tap-rest init github > github.yaml`; or one that is drafted from a document, or taken over from another tap.

    Each follows the API's public documentation and is tried against a small server that does; none was run against the service itself.
    """
    if [is_list, name is not None, openapi is not None, old is not None].count(True) != 1:
        raise UsageError(
            "Expected either the name of an API, or `--list`, `--openapi FILE` or `--from-msdk FILE`."
        )
    if wanted and openapi is None:
        raise UsageError("`--path` names a path of an OpenAPI document, and goes with `--openapi FILE`.")
    if openapi is not None:
        _from_document(openapi, wanted)
        return
    if old is not None:
        _from_msdk(old)
        return
    ready = {one.name.removesuffix(".yaml"): one for one in _READY.iterdir() if one.name.endswith(".yaml")}
    if name is None:
        for known in sorted(ready):
            about = ready[known].read_text(encoding="utf-8").splitlines()[0]
            click.echo(f"{known:12} {about.removeprefix('# ')}")
        return
    if name not in ready:
        near = nearest(name, sorted(ready))
        raise UsageError(
            f"There is no ready config for `{name}`{f'; did you mean `{near}`?' if near else ''} `tap-rest init --list` names them all."
        )
    click.echo(ready[name].read_text(encoding="utf-8"), nl=False)


_RUNS = frozenset(("record", "replay"))


def _from_document(file: str, paths: tuple[str, ...]) -> None:
    from tap_rest.openapi.document import read_document
    from tap_rest.openapi.drafting import draft
    from tap_rest.preview.checking import problems_of_draft

    click.echo(draft(read_document(file), problems_of_draft, paths), nl=False)


def _from_msdk(file: str) -> None:
    from tap_rest.msdk.translating import translated
    from tap_rest.preview.checking import problems_of_draft

    click.echo(translated(file, problems_of_draft), nl=False)


command.add_command(lint)
COMMANDS = frozenset(command.commands) | _RUNS


def main(arguments: list[str], tap: type[Any]) -> NoReturn:
    """Run one of the commands and exit; ``tap`` makes the tap of a config."""
    if arguments[0] in _RUNS:
        # Imported here: the others do not need it.
        from tap_rest.recording import command as runs

        runs.main(arguments, tap)
    stop_flag.install()
    run_commands(command, NAME, arguments, tap)
