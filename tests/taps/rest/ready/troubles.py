"""What the APIs of the ready configs answer, by their documentation, when they do not give what was asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taps.rest.api_server import Reply, json_reply

__all__ = ["LASTING", "Lasting", "Passing", "passing"]


@dataclass(frozen=True)
class Passing:
    """Asked again after ``wait`` seconds or more, it is over."""

    reply: Reply
    wait: float = 0


@dataclass(frozen=True)
class Lasting:
    """It does not help to ask again; ``says``: words of the sentence with which the run ends, ``code`` its exit code."""

    reply: Reply
    says: str
    code: int


def limit(body: Any, status: int = 429, **headers: Any) -> Reply:
    return json_reply(body, status, **{name: str(text) for name, text in headers.items()})


def google(message: str) -> Reply:
    return limit({"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED"}})


def hubspot(policy: str) -> Reply:
    message = f"You have reached your {policy.lower()} limit."
    return limit({"status": "error", "message": message, "errorType": "RATE_LIMIT", "policyName": policy})


def passing() -> Mapping[str, Sequence[Passing]]:
    """Return it by API; some name the moment at which a limit is over, seen from now."""
    return {
        "airtable": [
            Passing(
                limit({"errors": [{"error": "RATE_LIMIT_REACHED", "message": "Rate limit exceeded."}]}), 30
            )
        ],
        "freshdesk": [
            Passing(
                limit({"message": "You have exceeded the limit of requests per hour"}, Retry_After=37), 37
            )
        ],
        "ga4": [
            Passing(google("Exhausted concurrent requests quota. Please wait for some requests to finish.")),
            Passing(
                google("Exhausted property tokens for a project per hour. They will return in under an hour.")
            ),
        ],
        "github": [
            Passing(
                limit(
                    {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}, 403
                ),
                60,
            ),
            Passing(limit({"message": "You have exceeded a secondary rate limit."}, 403, Retry_After=75), 75),
            Passing(
                limit(
                    {"message": "API rate limit exceeded for user ID 1."},
                    403,
                    X_RateLimit_Remaining=0,
                    X_RateLimit_Reset=int(time.time()) + 250,
                ),
                30,
            ),
        ],
        "gitlab": [
            Passing(Reply(b"Retry later\n", 429, {"Retry-After": "17", "Content-Type": "text/plain"}), 17)
        ],
        "hubspot": [
            Passing(hubspot("TEN_SECONDLY_ROLLING"), 10),
            Passing(hubspot("SECONDLY"), 10),
            Passing(limit({"status": "error", "message": "locked"}, 423), 2),
            Passing(
                limit({"status": "error", "message": "The account is being migrated"}, 477, Retry_After=111),
                111,
            ),
        ],
        "intercom": [
            Passing(
                limit(
                    {
                        "type": "error.list",
                        "errors": [{"code": "rate_limit_exceeded", "message": "Exceeded rate limit"}],
                    },
                    X_RateLimit_Remaining=0,
                    X_RateLimit_Reset=int(time.time()) + 250,
                ),
                30,
            )
        ],
        "jira": [Passing(limit({"errorMessages": ["Rate limit exceeded."]}, Retry_After=19), 19)],
        "klaviyo": [Passing(limit({"errors": [{"status": 429, "code": "throttled"}]}, Retry_After=23), 23)],
        "linear": [
            Passing(
                limit(
                    {
                        "errors": [
                            {
                                "message": "Rate limit exceeded",
                                "extensions": {"type": "ratelimited", "code": "RATELIMITED"},
                            }
                        ]
                    },
                    400,
                ),
                60,
            )
        ],
        "mixpanel": [
            Passing(limit({"error": "Query rate limit exceeded", "request": "/api/2.0/export/"}), 60)
        ],
        "notion": [
            Passing(
                limit(
                    {"object": "error", "status": 429, "code": "rate_limited", "message": ""}, Retry_After=29
                ),
                29,
            ),
            Passing(limit({"object": "error", "status": 409, "code": "conflict_error", "message": ""}, 409)),
            Passing(
                limit({"object": "error", "status": 529, "code": "service_overload", "message": ""}, 529)
            ),
        ],
        "pagerduty": [
            Passing(
                limit(
                    {"error": {"message": "Rate Limit Exceeded", "code": 2020}},
                    ratelimit_remaining=0,
                    ratelimit_reset=31,
                ),
                31,
            )
        ],
        "salesforce": [
            Passing(
                limit(
                    [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}], 403
                )
            ),
            Passing(
                limit(
                    [
                        {
                            "message": "Your query request was running for too long.",
                            "errorCode": "QUERY_TIMEOUT",
                        }
                    ],
                    400,
                )
            ),
        ],
        "shopify": [
            Passing(limit({"errors": "Exceeded 2 calls per second for api client."}, Retry_After="2.0"), 2),
            Passing(Reply(b"", 430), 60),
        ],
        "slack": [
            Passing(limit({"ok": False, "error": "ratelimited"}, Retry_After=41), 41),
            Passing(limit({"ok": False, "error": "ratelimited"}, 200), 30),
            Passing(limit({"ok": False, "error": "fatal_error"}, 200)),
        ],
        "stripe": [
            Passing(
                limit(
                    {"error": {"code": "lock_timeout", "type": "invalid_request_error", "message": "locked"}}
                )
            ),
            Passing(limit({"error": {"type": "api_error", "message": "in use"}}, 409)),
            Passing(limit({"error": {"type": "api_error", "message": "a dependency failed"}}, 424)),
        ],
        "twilio": [Passing(limit({"code": 20429, "message": "Too Many Requests", "status": 429}))],
        "xero": [Passing(limit({}, Retry_After=43, X_Rate_Limit_Problem="Minute"), 43)],
        "zendesk": [
            Passing(
                limit({"error": "APIRateLimitExceeded", "description": "Number of allowed"}, Retry_After=47),
                47,
            ),
            Passing(limit({"error": "DatabaseUnavailable"}, 503, Retry_After=13), 13),
        ],
    }


LASTING: Mapping[str, Lasting] = {
    "ga4": Lasting(
        google("Exhausted property tokens per day. These quota tokens will return in under 24 hours."),
        "the tokens of a day are used up",
        69,
    ),
    "hubspot": Lasting(hubspot("DAILY"), "the requests of a day are used up", 69),
}
