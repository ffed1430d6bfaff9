"""GitHub and GitLab."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from taps.rest.api_server import Asked, Reply, Route, json_reply
from taps.rest.ready.remote import Refused, Remote, bearer, iso, numbered, only


def linked(remote: Remote, asked: Asked, rows: list[Any]) -> Reply:
    """Return the page with `Link` headers, as both write them."""
    page, following = numbered(asked, rows, 100)
    if following is None:
        return json_reply(page)
    rest = "&".join(
        f"{name}={value}" for name, values in asked.query.items() for value in values if name != "page"
    )
    link = f"<{remote.url}{asked.path}?{rest}&page={following}>"
    return json_reply(page, Link=f'{link}; rel="next", {link}; rel="last"')


class GitHub(Remote):
    """https://docs.github.com/en/rest/issues/issues and /rest/issues/comments."""

    name = "github"
    env: ClassVar = {"GITHUB_TOKEN": "github_pat_11AAAA0Y0abcdefgh", "GITHUB_REPOSITORY": "octo-org/octo"}
    streams = ("issues", "issue_comments")
    folder = "/repos/octo-org/octo"

    def check(self, asked: Asked) -> None:
        bearer(asked, self.env["GITHUB_TOKEN"])
        if not asked.headers.get("User-Agent"):
            raise Refused(403, "Request forbidden by administrative rules")
        if asked.headers.get("X-GitHub-Api-Version") not in (None, "2022-11-28"):
            raise Refused(400, "not a supported version")

    def record(self, stream: str, number: int) -> dict[str, Any]:
        rows = self.tables[stream]
        about = {"created_at": iso(rows.made[number]), "updated_at": iso(rows.changed[number])}
        if stream == "issue_comments":
            return {"id": number, "node_id": f"IC_{number}", "body": f"me, too {number}", **about}
        return {
            "id": number,
            "number": number,
            "title": f"issue {number}",
            "labels": [],
            "closed_at": None,
            **about,
        }

    def routes(self) -> Mapping[str, Route]:
        return {
            f"{self.folder}/issues": self.checked(lambda asked: self._list("issues", asked)),
            f"{self.folder}/issues/comments": self.checked(lambda asked: self._list("issue_comments", asked)),
        }

    def _list(self, stream: str, asked: Asked) -> Reply:
        only(asked, "state", "sort", "direction", "since", "per_page", "page")
        rows, since = self.tables[stream], asked.param("since")
        found = rows.by_change(datetime.fromisoformat(since) if since else None)
        if asked.param("sort", "created") != "updated":
            found.sort(key=lambda number: rows.made[number])
        if asked.param("direction", "desc") == "desc":
            found.reverse()
        return linked(self, asked, [self.record(stream, number) for number in found])


class GitLab(Remote):
    """https://docs.gitlab.com/api/issues/ and /api/merge_requests/."""

    name = "gitlab"
    env: ClassVar = {"GITLAB_TOKEN": "glpat-abcdefghijklmnop", "GITLAB_PROJECT": "42"}
    streams = ("issues", "merge_requests")

    def check(self, asked: Asked) -> None:
        if asked.headers.get("PRIVATE-TOKEN") != self.env["GITLAB_TOKEN"]:
            raise Refused(401, "401 Unauthorized")

    def record(self, stream: str, number: int) -> dict[str, Any]:
        rows = self.tables[stream]
        times = {"created_at": rows.made[number], "updated_at": rows.changed[number]}
        about = {name: moment.strftime("%Y-%m-%dT%H:%M:%S.123Z") for name, moment in times.items()}
        return {"id": 9000 + number, "iid": number, "title": f"{stream} {number}", "labels": ["bug"], **about}

    def routes(self) -> Mapping[str, Route]:
        return {
            f"/api/v4/projects/42/{stream}": self.checked(
                lambda asked, stream=stream: self._list(stream, asked)
            )
            for stream in self.streams
        }

    def _list(self, stream: str, asked: Asked) -> Reply:
        only(asked, "scope", "order_by", "sort", "updated_after", "per_page", "page")
        rows, since = self.tables[stream], asked.param("updated_after")
        found = rows.by_change()
        if since:  # milliseconds count there
            found = [
                n
                for n in found
                if rows.changed[n].replace(microsecond=123000) >= datetime.fromisoformat(since)
            ]
        if asked.param("order_by", "created_at") != "updated_at":
            found.sort(key=lambda number: rows.made[number])
        if asked.param("sort", "desc") == "desc":
            found.reverse()
        return linked(self, asked, [self.record(stream, number) for number in found])
