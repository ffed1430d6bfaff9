"""HubSpot, Salesforce and Intercom."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Any, ClassVar
from urllib.parse import parse_qs

from taps.rest.api_server import Asked, Reply, Route, json_reply
from taps.rest.ready.remote import Refused, Remote, bearer, epoch, has_only, iso, only


class HubSpot(Remote):
    """https://developers.hubspot.com/docs/api-reference/crm-search: sorted by one property, 10,000 results at most."""

    name = "hubspot"
    env: ClassVar = {"HUBSPOT_TOKEN": "pat-eu1-0123abcd-4567"}
    streams = ("contacts", "deals")
    changed_property: ClassVar = {"contacts": "lastmodifieddate", "deals": "hs_lastmodifieddate"}
    first_load = 430
    most_requests = 16

    def check(self, asked: Asked) -> None:
        bearer(asked, self.env["HUBSPOT_TOKEN"])
        if asked.method != "POST" or asked.headers.get("Content-Type") != "application/json":
            raise Refused(415, "Unsupported Media Type")

    def refusal(self, refused: Refused) -> Reply:
        return json_reply(
            {"status": "error", "message": str(refused), "category": "VALIDATION_ERROR"}, refused.status
        )

    def record(self, stream: str, number: int) -> dict[str, Any]:
        rows = self.tables[stream]
        made, changed = (
            iso(moment).replace("Z", ".000Z") for moment in (rows.made[number], rows.changed[number])
        )
        properties = {"hs_object_id": str(number), self.changed_property[stream]: changed}
        return {
            "id": str(number), "properties": properties, "createdAt": made, "updatedAt": changed, "archived": False
        }  # fmt: skip

    def routes(self) -> Mapping[str, Route]:
        return {
            f"/crm/v3/objects/{stream}/search": self.checked(
                lambda asked, stream=stream: self._search(stream, asked)
            )
            for stream in self.streams
        }

    def _search(self, stream: str, asked: Asked) -> Reply:
        body, changed = asked.json, self.changed_property[stream]
        has_only(body, "after", "filterGroups", "limit", "properties", "sorts")
        since = None
        for group in body.get("filterGroups", []):
            for one in group["filters"]:
                if (one["propertyName"], one["operator"]) != (changed, "GTE"):
                    raise Refused(400, f"There was a problem with the request: {one}")
                since = datetime.fromtimestamp(int(one["value"]) / 1000, UTC)
        if body.get("sorts") != [{"propertyName": changed, "direction": "ASCENDING"}]:
            raise Refused(400, "sorts")
        limit, begin = body.get("limit", 10), int(body.get("after", 0))
        if limit > 200 or begin + limit > 10_000:
            raise Refused(400, "limit")
        found = self.tables[stream].by_change(since)
        reply: dict[str, Any] = {"total": len(found)}
        reply["results"] = [self.record(stream, number) for number in found[begin : begin + limit]]
        if begin + limit < len(found):
            reply["paging"] = {"next": {"after": str(begin + limit), "link": f"?after={begin + limit}"}}
        return json_reply(reply)


class Salesforce(Remote):
    """https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_query.htm, OAuth by client credentials."""

    name = "salesforce"
    env: ClassVar = {
        "SALESFORCE_DOMAIN": "acme.my",
        "SALESFORCE_CLIENT_ID": "3MVG9lKcPoNINVBIPJjdw1J9LLM82Hn",
        "SALESFORCE_CLIENT_SECRET": "8C2F3D4E5A6B7C8D9E0F1A2B3C4D5E6F",
    }
    streams = ("accounts", "contacts")
    first_load = 4100
    token = "00D5e000000abcd!AQEAQabcdefghijklmnop"
    fields: ClassVar = ("Id", "Name", "CreatedDate", "SystemModstamp", "IsDeleted")

    def check(self, asked: Asked) -> None:
        bearer(asked, self.token)

    def refusal(self, refused: Refused) -> Reply:
        code = "INVALID_SESSION_ID" if refused.status == 401 else "MALFORMED_QUERY"
        return json_reply([{"message": str(refused), "errorCode": code}], refused.status)

    def record(self, stream: str, number: int) -> dict[str, Any]:
        rows, kind = self.tables[stream], stream.title()[:-1]
        record_id = f"001{number:015}"
        times = {"CreatedDate": rows.made[number], "SystemModstamp": rows.changed[number]}
        return {
            "attributes": {"type": kind, "url": f"/services/data/v62.0/sobjects/{kind}/{record_id}"},
            "Id": record_id,
            "Name": f"{kind} {number}",
            "IsDeleted": False,
            **{name: iso(moment).replace("Z", ".000+0000") for name, moment in times.items()},
        }

    def routes(self) -> Mapping[str, Route]:
        queries = {
            f"/services/data/v62.0/query/{stream}-{begin}": self.checked(
                lambda asked, stream=stream, begin=begin: self._page(stream, begin)
            )
            for stream in self.streams
            for begin in (2000, 4000)
        }
        return {
            "/services/oauth2/token": self._token,
            "/services/data/v62.0/queryAll": self.checked(self._query),
            "/services/data/v62.0/query": self.checked(self._query),
            **queries,
        }

    def _token(self, asked: Asked) -> Reply:
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        wanted = {
            "grant_type": "client_credentials",
            "client_id": self.env["SALESFORCE_CLIENT_ID"],
            "client_secret": self.env["SALESFORCE_CLIENT_SECRET"],
        }
        if asked.method != "POST" or form != wanted:
            return json_reply(
                {"error": "invalid_client", "error_description": "invalid client credentials"}, 400
            )
        return json_reply({"access_token": self.token, "token_type": "Bearer", "instance_url": self.url})

    def _query(self, asked: Asked) -> Reply:
        only(asked, "q")
        asked_for = re.fullmatch(
            r"SELECT ([\w, ]+) FROM (Account|Contact)(?: WHERE SystemModstamp >= (\S+))? ORDER BY SystemModstamp",
            asked.param("q") or "",
        )
        if asked_for is None or not set(asked_for[1].split(", ")) <= set(self.fields):
            raise Refused(400, f"unexpected token: {asked.param('q')}")
        stream = asked_for[2].lower() + "s"
        self.since = {
            **getattr(self, "since", {}),
            stream: datetime.fromisoformat(asked_for[3]) if asked_for[3] else None,
        }
        return self._page(stream, 0)

    def _page(self, stream: str, begin: int) -> Reply:
        found = self.tables[stream].by_change(self.since[stream])
        reply: dict[str, Any] = {"totalSize": len(found), "done": begin + 2000 >= len(found)}
        if not reply["done"]:
            reply["nextRecordsUrl"] = f"/services/data/v62.0/query/{stream}-{begin + 2000}"
        return json_reply(reply | {"records": [self.record(stream, n) for n in found[begin : begin + 2000]]})


class Intercom(Remote):
    """https://developers.intercom.com/docs/references/rest-api/api.intercom.io/contacts/searchcontacts and /conversations: dates count by the day there."""

    name = "intercom"
    env: ClassVar = {"INTERCOM_TOKEN": "dG9rOjAxMjM0NTY3ODlhYmNkZWY="}
    streams = ("contacts", "conversations")
    asked_again = 400
    most_requests = 12
    first_load = 310

    def check(self, asked: Asked) -> None:
        bearer(asked, self.env["INTERCOM_TOKEN"])
        if asked.method != "POST" or not asked.headers.get("Intercom-Version"):
            raise Refused(400, "bad request")

    def refusal(self, refused: Refused) -> Reply:
        return json_reply(
            {"type": "error.list", "errors": [{"code": "parameter_invalid", "message": str(refused)}]},
            refused.status,
        )

    def record(self, stream: str, number: int) -> dict[str, Any]:
        rows = self.tables[stream]
        times = {"created_at": epoch(rows.made[number]), "updated_at": epoch(rows.changed[number])}
        return {"type": stream[:-1], "id": f"{number:024x}", "open": True, **times}

    def routes(self) -> Mapping[str, Route]:
        return {
            f"/{stream}/search": self.checked(lambda asked, stream=stream: self._search(stream, asked))
            for stream in self.streams
        }

    def _search(self, stream: str, asked: Asked) -> Reply:
        body, rows = asked.json, self.tables[stream]
        has_only(body, "pagination", "query", "sort")
        query, paging = body["query"], body.get("pagination", {})
        has_only(query, "field", "operator", "value")
        if (query["field"], query["operator"]) != ("updated_at", ">") or not isinstance(query["value"], int):
            raise Refused(400, "query")
        since = datetime.fromtimestamp(query["value"], UTC)
        if stream == "contacts":
            since = datetime.combine(since.date(), time.max, UTC)
        found = [number for number in sorted(rows.changed) if rows.changed[number] > since]
        size, begin = min(paging.get("per_page", 20), 150), int((paging.get("starting_after") or "c-0")[2:])
        pages: dict[str, Any] = {"type": "pages", "page": begin // size + 1, "per_page": size}
        pages["total_pages"] = -(-len(found) // size)
        if begin + size < len(found):
            pages["next"] = {"page": begin // size + 2, "starting_after": f"c-{begin + size}"}
        shown = [self.record(stream, number) for number in found[begin : begin + size]]
        name = "data" if stream == "contacts" else "conversations"
        return json_reply({"type": "list", name: shown, "total_count": len(found), "pages": pages})
