"""What the executables of database targets have in common."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import IO, Any, ClassVar, Protocol
from urllib.parse import quote

from singerkit_quality.rules import rules_of
from singerkit_shell.errors import ConfigurationError
from singerkit_sql_target.dialect import Words
from singerkit_sql_target.methods import Method, methods_of
from singerkit_sql_target.nestings import nestings_of, way_of
from singerkit_sql_target.newest import NewestBy
from singerkit_sql_target.replaying import ReplayingLoader
from singerkit_sql_target.settings import conflicts_of, settings_of
from singerkit_state.lineage import WaysOut
from singerkit_state.value import encode
from singerkit_target.abilities import Abilities
from singerkit_target.byhand import Wish
from singerkit_target.delivery import Ways
from singerkit_target.shell import SingerkitTarget
from singerkit_target.unnesting import Unnesting
from singerkit_wire.blocks import Judgement

__all__ = ["SqlTarget"]


class _Loader(ReplayingLoader, Protocol):
    def unmet(self) -> list[str]: ...


class SqlTarget(SingerkitTarget):
    """A target whose state is a row of the database it loads into; `make_loader` keeps the loader it makes."""

    has_state_url: ClassVar[bool] = True
    judges_sets: ClassVar[bool] = True
    store_abilities: ClassVar[Abilities]
    _loader: _Loader | None = None

    @classmethod
    def abilities(cls, config: Mapping[str, Any]) -> Abilities:
        """Those of the store; `load_method` may keep every row."""
        methods = methods_of(config.get("load_method", "upsert"))
        return replace(cls.store_abilities, appends=lambda stream: methods.of(stream) is Method.APPEND)

    @classmethod
    def ways_of_rows(cls, config: Mapping[str, Any]) -> Ways:
        """What `load_method` says, of some streams the one, of some the other."""
        methods = methods_of(config.get("load_method", "upsert"))
        appends = methods.may_be(Method.APPEND)
        return Ways(replaces=not (appends and methods.is_one), appends=appends)

    def judgement(self) -> Judgement:
        """As of every target, and what becomes of values that are not of the type of their column."""
        return replace(super().judgement(), conflicts=conflicts_of(self.config, self.given_keys, self.owners))

    @cached_property
    def owners(self) -> dict[str, str]:
        """The streams of a run whose lists have tables of their own, by the streams of those."""
        return {}

    def unnesting(self) -> Unnesting:
        """Which streams' records are taken apart, as `nested` says."""
        nestings, methods = nestings_of(self.config["nested"]), methods_of(self.config["load_method"])
        marked = self.config["hard_delete"] and "hard_delete" in self.given_keys
        of = partial(way_of, nestings, methods, NewestBy(self.config.get("newest_by", {})))
        return Unnesting(of, self.logger, owners=self.owners, deletes_marked=marked)

    def ways_out(self, pipeline: str) -> WaysOut:
        """As of every target, and where in its database this one keeps the state."""
        schema = quote(self.config["default_target_schema"], safe="")
        return replace(
            super().ways_out(pipeline), place=f"pipeline={quote(pipeline, safe='')}&schema={schema}"
        )

    @abstractmethod
    def words(self) -> Words:
        """How its database names things; it is not connected."""

    @abstractmethod
    def database(self) -> str | None:
        """Where its database is, without a secret; None: it is not known before it is started."""

    def tell_tables(self, source: IO[Any]) -> None:
        """As its loads would have them."""
        from singerkit_sql_target.declared import tables_of

        lines = (line.encode() if isinstance(line, str) else line for line in source)
        settings = settings_of(self.config, self.given_keys, self.owners)
        rules = rules_of(self.config.get("checks", {}))
        for table in list(tables_of(lines, settings, self.words(), self.unnesting(), self.mapping(), rules)):
            sys.stdout.write(encode({**table, "database": self.database()}) + "\n")

    def judge_tables(self) -> None:
        from singerkit_sql_target.tablejudge import judge_tables

        checks = self.config.get("checks")
        if not checks:
            raise ConfigurationError(
                "Expected rules (`checks`) in the config, got none; nothing was judged: write some, or name a file with them with one more `--config`."
            )
        loader: Any = self.make_loader()
        settings = settings_of(self.config, self.given_keys, self.owners)
        judge_tables(loader, rules_of(checks), self.words(), settings, self.config.get("pipeline"))

    def see_to_letters(self, wish: Wish) -> None:
        """List dead letters, or load them once more: what is refused again is set aside again, whatever `on_invalid` says."""
        from singerkit_sql_target.lettersbyhand import see_to

        self._config = {**self._config, "on_invalid": "quarantine", "quarantine_limit": sys.maxsize}
        self.make_loader()
        assert self._loader is not None  # noqa: S101  which `make_loader` keeps
        missing = self.config.get("missing_fields")
        see_to(
            self._loader,
            wish,
            self.config.get("pipeline"),
            self.judgement(),
            missing,
            self.unnesting(),
            self.logger,
            self.judge(),
        )

    def unmet(self) -> Sequence[str]:
        return self._loader.unmet() if self._loader else ()
