"""From `storage.s3`, `storage.gcs` and `storage.azure` to a store: what obstore would take from the environment unasked is said to it here."""

from __future__ import annotations

import configparser
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from requests.utils import get_environ_proxies

from singerkit_shell.errors import ConfigurationError, NotAuthorisedError
from singerkit_shell.extras import imported
from singerkit_shell.secrets import redactor
from tap_files.places.objectfaults import NOWHERE
from tap_files.places.objects import Objects
from tap_files.settings.storage import Patience
from tap_files.settings.storage_objects import credentials_of

__all__ = ["azure_place", "gcs_place", "s3_place"]

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}")
_ENDPOINT = re.compile(
    r"https?://[A-Za-z0-9._-]+(:\d{1,5})?(/[A-Za-z0-9._~-]+)*/?|https?://\[[0-9A-Fa-f:]+\](:\d{1,5})?/?"
)
_CONTAINER = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_GCLOUD = "~/.config/gcloud/application_default_credentials.json"
_TOKENS_OF_AMAZON = (
    ".amazonaws.com",
    ".amazonaws.com.cn",
    "169.254.0.0/16",
    "fd00:ec2::/32",
    "localhost",
    "127.0.0.1",
)
"""Where tokens for S3 come from: STS, and the metadata service of a machine or a container."""
_GOOGLE = "https://storage.googleapis.com"


def s3_place(bucket: str, said: Mapping[str, Any], patience: Patience) -> Objects:
    """Raises: ConfigurationError, NotAuthorisedError: there is no such bucket or endpoint, or there are no credentials."""
    where = _bucket(f"s3://{bucket}", bucket)
    stores = _stores("s3")
    kind = credentials_of("s3", said)
    variables = os.environ if kind == "environment" else {}
    region = (
        said.get("region")
        or os.environ.get("AWS_REGION")
        or os.environ.get("AWS_DEFAULT_REGION")
        or "us-east-1"
    )
    endpoint = (
        said.get("endpoint")
        or variables.get("AWS_ENDPOINT_URL_S3")
        or variables.get("AWS_ENDPOINT_URL")
        or f"https://s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
    )
    is_hosted = bool(said.get("virtual_hosted"))
    if is_hosted:
        scheme, _, host = endpoint.partition("://")
        endpoint = f"{scheme}://{bucket}.{host}"
    provider = _s3_keys(kind, said)
    store = _made(
        lambda: stores.S3Store(
            bucket,
            endpoint=_checked(endpoint, "s3"),
            aws_endpoint_url_s3=endpoint,
            region=region,
            virtual_hosted_style_request=is_hosted,
            request_payer=bool(said.get("requester_pays")),
            skip_signature=kind == "anonymous",
            s3_express=False,
            **_patient(endpoint, patience, only=_only_s3(kind, provider is not None)),
            **({"credential_provider": lambda: dict(provider)} if provider else {}),
        ),
        "s3",
    )
    return Objects(store, where, "storage.s3")


def gcs_place(bucket: str, said: Mapping[str, Any], patience: Patience) -> Objects:
    """See `s3_place`."""
    where = _bucket(f"gs://{bucket}", bucket)
    stores = _stores("gcs")
    endpoint = said.get("endpoint") or _GOOGLE
    # Else Google unpacks what was stored as gzip, and gives more bytes than it has listed.
    options = _patient(endpoint, patience, {"Accept-Encoding": "gzip"})
    store = _made(
        lambda: stores.GCSStore(
            bucket, base_url=_checked(endpoint, "gcs"), **_gcs_credentials(said), **options
        ),
        "gcs",
    )
    return Objects(store, where, "storage.gcs")


def azure_place(container: str, said: Mapping[str, Any], patience: Patience) -> Objects:
    """See `s3_place`."""
    where = _bucket(f"az://{container}", container)
    stores = _stores("azure")
    account = said.get("account") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    if not account:
        raise ConfigurationError(
            f"Expected the name of the account of {where} at `storage.azure.account` or in AZURE_STORAGE_ACCOUNT_NAME, which are empty; nothing was read."
        )
    endpoint = said.get("endpoint") or f"https://{account}.blob.core.windows.net"
    credentials = _azure_credentials(said)
    store = _made(
        lambda: stores.AzureStore(
            container,
            account_name=account,
            endpoint=_checked(endpoint, "azure"),
            **credentials,
            **_patient(endpoint, patience, only=() if "credential_provider" in credentials else None),
        ),
        "azure",
    )
    return Objects(store, where, "storage.azure", lists_from=False)


def _stores(extra: str) -> Any:
    return imported("obstore.store", f"`storage.{extra}`", extra, "tap-files")


def _bucket(where: str, bucket: str) -> str:
    if not _BUCKET.fullmatch(bucket):
        raise ConfigurationError(
            f"Expected the name of a bucket or container (letters, digits, `.`, `_`, `-`) behind `{where.partition('://')[0]}://` in `path`, got `{bucket}`; nothing was read."
        )
    return where


def _checked(endpoint: str, section: str) -> str:
    if not _ENDPOINT.fullmatch(endpoint):
        raise ConfigurationError(
            f"Expected a URL like https://storage.example.com at `storage.{section}.endpoint`, without user, password and query; nothing was read."
        )
    return endpoint.rstrip("/")


def _made(make: Callable[[], Any], section: str) -> Any:
    """Return a store; what is wrong with its keys may hold a part of them and is not shown."""
    try:
        return make()
    except (ConfigurationError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise ConfigurationError(
            f"The credentials in `storage.{section}` are not of the form that the store takes ({type(error).__name__}); nothing was read: check them, "
            "and the file that they name."
        ) from None


def _only_s3(kind: str, has_keys: bool) -> Sequence[str] | None:
    """See `_patient`: where a token may stand in a header, which a redirect to another host would take along."""
    if kind == "anonymous":
        return None
    return () if has_keys else _TOKENS_OF_AMAZON


def _no_other_host(endpoint: str, besides: Sequence[str]) -> dict[str, Any]:
    """Return the options of a client that reaches the host of an endpoint, and ``besides``, and no other: obstore follows every redirect, with all headers but one.

    It takes them to a proxy that nobody can reach. Who has a proxy of his own, by which the endpoint is asked, has no other.
    """
    if get_environ_proxies(endpoint) or (besides and getproxies()):
        return {}
    return {
        "proxy_url": f"http://{NOWHERE}",
        "proxy_excludes": ",".join([str(urlsplit(endpoint).hostname), *besides]),
    }


def _patient(
    endpoint: str,
    patience: Patience,
    headers: Mapping[str, str] | None = None,
    only: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return the options of a store. ``only``: hosts that it may ask besides that of the endpoint; None: any."""
    client = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=patience.connect),
        "read_timeout": timedelta(seconds=patience.read),
        "timeout": timedelta(seconds=patience.connect + patience.total),
    }
    backoff = {
        "init_backoff": timedelta(seconds=patience.first_wait),
        "max_backoff": timedelta(seconds=patience.longest_wait),
        "base": 2,
    }
    retry = {
        "max_retries": patience.tries - 1,
        "retry_timeout": timedelta(seconds=patience.total),
        "backoff": backoff,
    }
    return {
        "client_options": client
        | ({"default_headers": dict(headers)} if headers else {})
        | ({} if only is None else _no_other_host(endpoint, only)),
        "retry_config": retry,
    }


def _s3_keys(kind: str, said: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the keys to sign with; None where none are known beforehand."""
    if kind == "keys":
        return _pair(said["access_key_id"], said["secret_access_key"], said.get("session_token"))
    if kind == "environment":
        key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        if key and secret:
            return _pair(key, secret, os.environ.get("AWS_SESSION_TOKEN"))
        if _is_set("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN") or any(map(_is_set, _CONTAINER)):
            return None
        raise NotAuthorisedError(
            "There are no credentials for S3: neither in `storage.s3` nor in the environment (AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, "
            "AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN, or those of a container); nothing was read: give some, or set `storage.s3.credentials` to "
            "`profile`, `instance` or `anonymous`."
        )
    if kind == "anonymous":  # else a part of a login in the environment is an error
        return {"access_key_id": "", "secret_access_key": "", "expires_at": None}
    return _of_profile(said) if kind == "profile" else None


def _pair(key: str, secret: str, token: str | None) -> dict[str, Any]:
    for text in filter(None, (key, secret, token)):
        redactor.add(text)
    return {"access_key_id": key, "secret_access_key": secret, "token": token, "expires_at": None}


def _of_profile(said: Mapping[str, Any]) -> dict[str, Any]:
    path = os.path.expanduser(
        said.get("profiles_file") or os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    )
    name = said.get("profile") or os.environ.get("AWS_PROFILE") or "default"
    profiles = configparser.RawConfigParser()
    try:
        with open(path, encoding="utf-8") as file:
            profiles.read_file(file)
        profile = profiles[name]
        return _pair(
            profile["aws_access_key_id"], profile["aws_secret_access_key"], profile.get("aws_session_token")
        )
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError):
        raise NotAuthorisedError(
            f"There is no profile `{name}` with `aws_access_key_id` and `aws_secret_access_key` in {path}; nothing was read: check "
            "`storage.s3.profile` and `storage.s3.profiles_file`."
        ) from None


def _gcs_credentials(said: Mapping[str, Any]) -> dict[str, Any]:
    kind = credentials_of("gcs", said)
    if kind == "anonymous":
        return {"skip_signature": True}
    if kind == "token":
        return {"credential_provider": lambda: {"token": said["access_token"], "expires_at": None}}
    if kind == "instance":
        return {"skip_signature": False}
    if kind == "service_account" and "service_account_key" in said:
        return {"service_account_key": said["service_account_key"], "skip_signature": False}
    path = os.path.expanduser(
        said.get("service_account_file", "") or os.environ.get("GOOGLE_APPLICATION_CREDENTIALS") or _GCLOUD
    )
    try:
        with open(path, encoding="utf-8") as file:
            _mask(json.load(file))
    except (OSError, ValueError):
        raise NotAuthorisedError(
            f"There are no credentials for Google Cloud Storage: {path} is no file with a key as JSON; nothing was read: give `storage.gcs."
            "service_account_file`, set GOOGLE_APPLICATION_CREDENTIALS, or set `storage.gcs.credentials` to `instance` or `anonymous`."
        ) from None
    return {"application_credentials": path, "skip_signature": False}


def _mask(key: Any) -> None:
    for name in ("private_key", "client_secret", "refresh_token"):
        if isinstance(key, dict) and isinstance(key.get(name), str):
            redactor.add(key[name])


def _azure_credentials(said: Mapping[str, Any]) -> dict[str, Any]:
    kind = credentials_of("azure", said)
    if kind == "environment":
        return _azure_environment()
    if kind == "key":
        return _azure_provider("access_key", said["account_key"])
    if kind == "sas":
        return _azure_provider("sas_token", said["sas_token"].lstrip("?"))
    if kind == "client_secret":
        return {name: said[name] for name in ("tenant_id", "client_id", "client_secret")} | {
            "skip_signature": False
        }
    return {"skip_signature": kind == "anonymous"}


def _azure_provider(form: str, value: str) -> dict[str, Any]:
    redactor.add(value)
    return {"credential_provider": lambda: {form: value, "expires_at": None}, "skip_signature": False}


def _azure_environment() -> dict[str, Any]:
    for variable, form in (
        ("AZURE_STORAGE_ACCOUNT_KEY", "access_key"),
        ("AZURE_STORAGE_SAS_TOKEN", "sas_token"),
    ):
        if value := os.environ.get(variable, "").lstrip("?"):
            return _azure_provider(form, value)
    if _is_set("AZURE_CLIENT_ID", "AZURE_TENANT_ID") and (
        _is_set("AZURE_CLIENT_SECRET") or _is_set("AZURE_FEDERATED_TOKEN_FILE")
    ):
        redactor.add(os.environ.get("AZURE_CLIENT_SECRET", ""))
        return {"skip_signature": False}
    raise NotAuthorisedError(
        "There are no credentials for Azure: neither in `storage.azure` nor in the environment (AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, or "
        "AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET); nothing was read: give some, or set `storage.azure.credentials` to `instance` or "
        "`anonymous`."
    )


def _is_set(*variables: str) -> bool:
    return all(os.environ.get(variable) for variable in variables)
