"""Google Analytics 4, Mixpanel and Klaviyo."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from requests.auth import _basic_auth_str
from taps.rest.api_server import Asked, Reply, Route, json_reply
from taps.rest.ready.remote import Refused, Remote, bearer, epoch, has_only, iso, only


def write_key(file: Path) -> None:
    """Write the key of a service account, as Google gives it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    about = {"type": "service_account", "client_email": "tap@project.iam.example", "private_key_id": "1"}
    file.write_text(
        json.dumps(about | {"private_key": pem, "token_uri": "https://oauth2.googleapis.com/token"})
    )


class GoogleAnalytics(Remote):
    """https://developers.google.com/analytics/devguides/reporting/data/v1/rest/v1beta/properties/runReport."""

    name = "ga4"
    env: ClassVar = {
        "GA4_PROPERTY": "1234567",
        "GA4_KEY_FILE": str(Path(tempfile.gettempdir()) / f"ga4-{os.getpid()}.json"),
    }
    token = "ya29.a0AfH6SMabcdefghijkl"
    streams = ("traffic", "pages")
    dimension: ClassVar = {"traffic": "sessionSource", "pages": "pagePath"}
    changes_rows = False
    step = timedelta(hours=6)
    first_load = 900
    asked_again = 40
    most_requests = 40

    def check(self, asked: Asked) -> None:
        bearer(asked, self.token)
        if asked.method != "POST":
            raise Refused(404, "Not Found")

    def refusal(self, refused: Refused) -> Reply:
        error = {"code": refused.status, "message": str(refused), "status": "INVALID_ARGUMENT"}
        return json_reply({"error": error}, refused.status)

    def record(self, stream: str, number: int) -> dict[str, Any]:
        made = self.tables[stream].made[number]
        return {
            "date": made.strftime("%Y%m%d"),
            self.dimension[stream]: f"value {number}",
            "sessions": number,
        }

    def routes(self) -> Mapping[str, Route]:
        write_key(Path(self.env["GA4_KEY_FILE"]))
        report = f"/v1beta/properties/{self.env['GA4_PROPERTY']}:runReport"
        return {report: self.checked(self._report), "/token": self._token}

    def _token(self, asked: Asked) -> Reply:
        form = parse_qs(asked.body.decode())
        if (
            form.get("grant_type") != ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
            or form["assertion"][0].count(".") != 2
        ):
            return json_reply({"error": "invalid_grant"}, 400)
        return json_reply({"access_token": self.token, "expires_in": 3599, "token_type": "Bearer"})

    def _report(self, asked: Asked) -> Reply:
        body = asked.json
        has_only(body, "dateRanges", "dimensions", "keepEmptyRows", "limit", "metrics", "offset", "orderBys")
        names = [one["name"] for one in body["dimensions"]]
        stream = {"sessionSource": "traffic", "pagePath": "pages"}[names[1]]
        begin, limit = int(body.get("offset", 0)), int(body.get("limit", 10_000))
        [dates] = body["dateRanges"]
        first, last = date.fromisoformat(dates["startDate"]), date.fromisoformat(dates["endDate"])
        rows = self.tables[stream]
        found = [number for number in rows.by_change() if first <= rows.made[number].date() <= last]
        records = [self.record(stream, number) for number in found]
        reply: dict[str, Any] = {
            "dimensionHeaders": [{"name": name} for name in names],
            "metricHeaders": [{"name": one["name"], "type": "TYPE_INTEGER"} for one in body["metrics"]],
        }
        if records:
            reply["rows"] = [
                {
                    "dimensionValues": [{"value": record[name]} for name in names],
                    "metricValues": [{"value": str(record[one["name"]])} for one in body["metrics"]],
                }
                for record in records[begin : begin + limit]
            ]
            reply["rowCount"] = len(records)
        return json_reply(
            reply
            | {"metadata": {"currencyCode": "EUR", "timeZone": "UTC"}, "kind": "analyticsData#runReport"}
        )


class Mixpanel(Remote):
    """https://developer.mixpanel.com/reference/raw-event-export: a JSON object a line, whole days in the project's time zone."""

    name = "mixpanel"
    env: ClassVar = {
        "MIXPANEL_PROJECT": "2195193",
        "MIXPANEL_USER": "loader.abc123.mp-service-account",
        "MIXPANEL_SECRET": "0123456789abcdefABCDEF",
    }
    streams = ("events", "signups")
    changes_rows = False
    step = timedelta(hours=3)
    asked_again = 200
    most_requests = 20

    def check(self, asked: Asked) -> None:
        if asked.headers.get("Authorization") != _basic_auth_str(
            self.env["MIXPANEL_USER"], self.env["MIXPANEL_SECRET"]
        ):
            raise Refused(401, "Invalid service account credentials")

    def refusal(self, refused: Refused) -> Reply:
        return json_reply({"request": "/api/2.0/export/", "error": str(refused)}, refused.status)

    def record(self, stream: str, number: int) -> dict[str, Any]:
        made = epoch(self.tables[stream].made[number])
        about = {"time": made, "distinct_id": f"u{number % 9}", "$insert_id": f"{stream[:2]}{number:014}"}
        return {"event": "Sign up" if stream == "signups" else "View", "properties": about}

    def routes(self) -> Mapping[str, Route]:
        return {"/api/2.0/export": self.checked(self._export)}

    def _export(self, asked: Asked) -> Reply:
        only(asked, "event", "from_date", "project_id", "to_date", "limit")
        if asked.param("project_id") != self.env["MIXPANEL_PROJECT"]:
            raise Refused(400, "project_id is a required parameter")
        first, last = (date.fromisoformat(asked.param(name) or "") for name in ("from_date", "to_date"))
        if last > datetime.now(UTC).date():
            raise Refused(400, "to_date cannot be later than today")
        stream = "signups" if json.loads(asked.param("event") or "[]") == ["Sign up"] else "events"
        rows = self.tables[stream]
        found = [number for number in rows.by_change() if first <= rows.made[number].date() <= last]
        lines = "".join(json.dumps(self.record(stream, number)) + "\n" for number in found)
        return Reply(lines.encode(), headers={"Content-Type": "text/plain; charset=utf-8"})


class Klaviyo(Remote):
    """https://developers.klaviyo.com/en/reference/get_profiles and /get_events: JSON:API, the time inside `attributes`."""

    name = "klaviyo"
    env: ClassVar = {"KLAVIYO_KEY": "pk_0123456789abcdef0123456789"}
    streams = ("profiles", "events")
    asked_again = 400
    filters: ClassVar = {"profiles": ("updated", "greater-than"), "events": ("datetime", "greater-or-equal")}
    changes_rows = False

    def check(self, asked: Asked) -> None:
        if asked.headers.get("Authorization") != f"Klaviyo-API-Key {self.env['KLAVIYO_KEY']}":
            raise Refused(401, "Missing or invalid private key.")
        if not re.fullmatch(r"20\d\d-\d\d-\d\d", asked.headers.get("revision") or ""):
            raise Refused(400, "No revision header was provided.")

    def refusal(self, refused: Refused) -> Reply:
        error = {
            "id": "1",
            "status": refused.status,
            "code": "invalid",
            "title": "Invalid input.",
            "detail": str(refused),
        }
        return json_reply({"errors": [error]}, refused.status)

    def record(self, stream: str, number: int) -> dict[str, Any]:
        rows, (field, _) = self.tables[stream], self.filters[stream]
        about = {field: iso(rows.changed[number]).replace("Z", "+00:00")}
        return {
            "type": stream[:-1],
            "id": f"01H{number:023}",
            "attributes": about,
            "links": {"self": f"/api/{stream}/"},
        }

    def routes(self) -> Mapping[str, Route]:
        return {
            f"/api/{stream}": self.checked(lambda asked, stream=stream: self._list(stream, asked))
            for stream in self.streams
        }

    def _list(self, stream: str, asked: Asked) -> Reply:
        only(asked, "filter", "page[cursor]", "page[size]", "sort")
        rows, (field, operator) = self.tables[stream], self.filters[stream]
        size, begin = (
            int(asked.param("page[size]") or 20),
            int((asked.param("page[cursor]") or "WzE-0").partition("-")[2]),
        )
        if size > 100 or asked.param("sort") != field:
            raise Refused(400, "'page[size]' must be at most 100, and the rows sorted")
        wanted, since = asked.param("filter"), None
        if wanted is not None:
            said = re.fullmatch(rf"{operator}\({field}, ?([^)]+)\)", wanted)
            if said is None:
                raise Refused(400, f"Invalid filter: {wanted}")
            since = datetime.fromisoformat(said[1])
        found = rows.by_change(since)
        if since is not None and operator == "greater-than":
            found = [number for number in found if rows.changed[number] > since]
        address = f"{self.url}{asked.path}?sort={field}&page%5Bsize%5D={size}" + (
            f"&filter={wanted}" if wanted else ""
        )
        following = None if begin + size >= len(found) else f"{address}&page%5Bcursor%5D=WzE-{begin + size}"
        links = {"self": address, "next": following, "prev": None}
        return json_reply(
            {"data": [self.record(stream, n) for n in found[begin : begin + size]], "links": links}
        )
