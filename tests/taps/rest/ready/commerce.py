"""Stripe, Shopify and Xero."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from requests.auth import _basic_auth_str
from taps.rest.api_server import Asked, Reply, Route, json_reply
from taps.rest.ready.remote import Refused, Remote, bearer, epoch, iso, only


class Stripe(Remote):
    """https://docs.stripe.com/api/balance_transactions/list and /api/events/list: newest first."""

    name = "stripe"
    env: ClassVar = {"STRIPE_KEY": "rk_live_51abcdefghijkl"}
    streams = ("balance_transactions", "events")
    changes_rows = False

    def check(self, asked: Asked) -> None:
        bearer(asked, self.env["STRIPE_KEY"])

    def refusal(self, refused: Refused) -> Reply:
        return json_reply(
            {"error": {"message": str(refused), "type": "invalid_request_error"}}, refused.status
        )

    def record(self, stream: str, number: int) -> dict[str, Any]:
        kind = {"balance_transactions": "txn", "events": "evt"}[stream]
        created = epoch(self.tables[stream].made[number])
        return {
            "id": f"{kind}_{number:04}",
            "object": stream[:-1],
            "created": created,
            "amount": number * 100,
        }

    def routes(self) -> Mapping[str, Route]:
        return {
            f"/v1/{stream}": self.checked(lambda asked, stream=stream: self._list(stream, asked))
            for stream in self.streams
        }

    def _list(self, stream: str, asked: Asked) -> Reply:
        only(asked, "limit", "starting_after", "created[gte]")
        limit, after, since = (
            int(asked.param("limit") or 10),
            asked.param("starting_after"),
            asked.param("created[gte]"),
        )
        if not 1 <= limit <= 100:
            raise Refused(400, "Invalid integer: limit")
        rows = [self.record(stream, number) for number in reversed(self.tables[stream].by_change())]
        if since:
            rows = [row for row in rows if row["created"] >= int(since)]
        if after:
            places = [place for place, row in enumerate(rows) if row["id"] == after]
            if not places:
                raise Refused(400, f"No such {stream[:-1]}: '{after}'")
            rows = rows[places[0] + 1 :]
        page = {"object": "list", "url": asked.path, "has_more": len(rows) > limit, "data": rows[:limit]}
        return json_reply(page)


class Shopify(Remote):
    """https://shopify.dev/docs/api/admin-rest/latest/resources/order and /usage/pagination."""

    name = "shopify"
    env: ClassVar = {"SHOPIFY_SHOP": "candles", "SHOPIFY_TOKEN": "shpat_0123456789abcdef"}
    streams = ("orders", "products")
    first_load = 520

    def check(self, asked: Asked) -> None:
        if asked.headers.get("X-Shopify-Access-Token") != self.env["SHOPIFY_TOKEN"]:
            raise Refused(401, "[API] Invalid API key or access token")

    def refusal(self, refused: Refused) -> Reply:
        return json_reply({"errors": str(refused)}, refused.status)

    def record(self, stream: str, number: int) -> dict[str, Any]:
        rows = self.tables[stream]
        times = {"created_at": rows.made[number], "updated_at": rows.changed[number]}
        about = {
            name: iso(moment).replace("Z", "-00:00").replace("-00:00", "+00:00")
            for name, moment in times.items()
        }
        more = {"total_price": "10.10"} if stream == "orders" else {"title": f"candle {number}"}
        return {"id": 450789469 + number, **more, **about}

    def routes(self) -> Mapping[str, Route]:
        return {
            f"/admin/api/2026-01/{stream}.json": self.checked(
                lambda asked, stream=stream: self._list(stream, asked)
            )
            for stream in self.streams
        }

    def _list(self, stream: str, asked: Asked) -> Reply:
        info = asked.param("page_info")
        if info is not None:  # a page that is not the first takes nothing else
            only(asked, "limit", "page_info")
            since, begin = info.split("~")
        else:
            only(asked, "limit", "updated_at_min", *(["status"] if stream == "orders" else []))
            since, begin = asked.param("updated_at_min") or "", "0"
        limit = int(asked.param("limit") or 50)
        if limit > 250:
            raise Refused(400, "limit is too large")
        numbers = sorted(
            self.tables[stream].by_change(datetime.fromisoformat(since) if since else None), reverse=True
        )
        end = int(begin) + limit
        reply = {stream: [self.record(stream, number) for number in numbers[int(begin) : end]]}
        if end >= len(numbers):
            return json_reply(reply)
        link = f'<{self.url}{asked.path}?limit={limit}&page_info={since}~{end}>; rel="next"'
        return json_reply(reply, Link=link)


class Xero(Remote):
    """https://developer.xero.com/documentation/api/accounting/invoices and /requests-and-responses: If-Modified-Since, dates of .NET."""

    name = "xero"
    env: ClassVar = {
        "XERO_CLIENT_ID": "0123456789ABCDEF0123456789ABCDEF",
        "XERO_CLIENT_SECRET": "fedcba9876543210fedcba9876543210fedcba98",
        "XERO_TENANT": "45e4708e-d862-4111-ab3a-dd8cd03913e1",
    }
    streams = ("invoices", "contacts")
    token = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjFDQUY4RTY2NzcyRDZEQzAyOEQ2NzI2RkQwMjYxNTgx"
    first_load = 210

    def check(self, asked: Asked) -> None:
        bearer(asked, self.token)
        if asked.headers.get("xero-tenant-id") != self.env["XERO_TENANT"]:
            raise Refused(403, "AuthenticationUnsuccessful")
        if asked.headers.get("Accept") != "application/json":
            raise Refused(400, "<Response>XML is the default</Response>")

    def refusal(self, refused: Refused) -> Reply:
        return json_reply(
            {"Title": str(refused), "Status": refused.status, "Detail": str(refused)}, refused.status
        )

    def record(self, stream: str, number: int) -> dict[str, Any]:
        changed = epoch(self.tables[stream].changed[number]) * 1000 + 790
        key = {"invoices": "InvoiceID", "contacts": "ContactID"}[stream]
        about = {"UpdatedDateUTC": f"/Date({changed}+0000)/", "Total": 40.00}
        return {key: f"243216c5-369e-4056-ac67-{number:012x}", **about}

    def routes(self) -> Mapping[str, Route]:
        lists = {
            f"/api.xro/2.0/{stream.title()}": self.checked(
                lambda asked, stream=stream: self._list(stream, asked)
            )
            for stream in self.streams
        }
        return {"/connect/token": self._token, **lists}

    def _token(self, asked: Asked) -> Reply:
        basic = _basic_auth_str(self.env["XERO_CLIENT_ID"], self.env["XERO_CLIENT_SECRET"])
        if asked.headers.get("Authorization") != basic or b"grant_type=client_credentials" not in asked.body:
            return json_reply({"error": "invalid_client"}, 400)
        return json_reply({"access_token": self.token, "expires_in": 1800, "token_type": "Bearer"})

    def _list(self, stream: str, asked: Asked) -> Reply:
        only(asked, "order", "page", "pageSize", "summaryOnly", "includeArchived")
        rows, since = self.tables[stream], asked.headers.get("If-Modified-Since")
        found = rows.by_change()
        if since:
            moment = datetime.fromisoformat(since).replace(tzinfo=UTC)
            found = [number for number in found if rows.changed[number].replace(microsecond=790000) >= moment]
        size, page = min(int(asked.param("pageSize") or 100), 1000), int(asked.param("page") or 1)
        shown = [self.record(stream, number) for number in found[(page - 1) * size : page * size]]
        pages = {"page": page, "pageSize": size, "pageCount": -(-len(found) // size), "itemCount": len(found)}
        return json_reply({"Id": "8c9d", "Status": "OK", "pagination": pages, stream.title(): shown})
