"""`storage.s3`, `storage.gcs`, `storage.azure`: where object stores are, and with which credentials they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tap_files.settings import setting

__all__ = ["AZURE", "GCS", "S3", "credentials_of", "objects_problems"]

_ENDPOINT = "URL of a store that speaks the same language, or of a proxy. Default: that of the cloud."
_CREDENTIALS = "Where the credentials come from. Default: what of them stands beside this, else `environment`. `instance` asks the metadata service of the machine, which is never asked otherwise."

S3: Mapping[str, Any] = setting.group(
    "Amazon S3, and what is compatible with it (MinIO, Ceph, R2 and others). Needs `pip install 'singerkit[s3]'`.",
    {
        "endpoint": setting.name(_ENDPOINT),
        "region": setting.name("Region of the bucket. Default: `AWS_REGION`, else `us-east-1`."),
        "credentials": setting.name(
            f"{_CREDENTIALS} `environment`: `AWS_ACCESS_KEY_ID` and its like; `profile`: a file of profiles; `anonymous`: none.",
            enum=["keys", "environment", "profile", "instance", "anonymous"],
        ),
        "access_key_id": setting.secret("Access key."),
        "secret_access_key": setting.secret("Its secret."),
        "session_token": setting.secret("Its token, where it is for a time."),
        "profile": setting.name(
            "Profile of the file, with `credentials: profile`. Default: `AWS_PROFILE`, else `default`."
        ),
        "profiles_file": setting.name("That file.", default="~/.aws/credentials"),
        "virtual_hosted": setting.flag(
            "Whether the bucket stands in the host name in place of the path.", False
        ),
        "requester_pays": setting.flag("Whether you pay for what is read of somebody else's bucket.", False),
    },
)

GCS: Mapping[str, Any] = setting.group(
    "Google Cloud Storage. Needs `pip install 'singerkit[gcs]'`.",
    {
        "endpoint": setting.name(_ENDPOINT),
        "credentials": setting.name(
            f"{_CREDENTIALS} `environment`: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, else that of gcloud; `anonymous`: none.",
            enum=["service_account", "token", "environment", "instance", "anonymous"],
        ),
        "service_account_file": setting.name("Path of the key of a service account, a JSON file."),
        "service_account_key": setting.secret("That key itself, as JSON."),
        "access_token": setting.secret("A token of OAuth, which is not renewed."),
    },
)

AZURE: Mapping[str, Any] = setting.group(
    "Azure Blob Storage. Needs `pip install 'singerkit[azure]'`.",
    {
        "account": setting.name("Name of the storage account. Default: `AZURE_STORAGE_ACCOUNT_NAME`."),
        "endpoint": setting.name(_ENDPOINT),
        "credentials": setting.name(
            f"{_CREDENTIALS} `environment`: `AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_STORAGE_SAS_TOKEN` or `AZURE_CLIENT_ID` and its like; `anonymous`: none.",
            enum=["key", "sas", "client_secret", "environment", "instance", "anonymous"],
        ),
        "account_key": setting.secret("Key of the account."),
        "sas_token": setting.secret("Shared access signature, with or without its `?`."),
        "tenant_id": setting.name("Tenant of an application."),
        "client_id": setting.name("Application that reads."),
        "client_secret": setting.secret("Its secret."),
    },
)

_OF_CREDENTIALS: Mapping[str, Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "s3": {"keys": (("access_key_id",), ("secret_access_key",))},
    "gcs": {
        "service_account": (("service_account_file", "service_account_key"),),
        "token": (("access_token",),),
    },
    "azure": {
        "key": (("account_key",),),
        "sas": (("sas_token",),),
        "client_secret": (("tenant_id",), ("client_id",), ("client_secret",)),
    },
}
"""By store and kind of credentials: what each needs, one of each group."""
_BESIDE: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("s3", "keys"): ("session_token",),
    ("s3", "profile"): ("profile", "profiles_file"),
}


def credentials_of(store: str, said: Mapping[str, Any]) -> str:
    """Return the kind of credentials that a config means: the one it names, else that of which it gives a part."""
    named = said.get("credentials")
    if named is not None:
        return str(named)
    for kind, needed in _OF_CREDENTIALS[store].items():
        if any(key in said for keys in needed for key in keys):
            return kind
    return "profile" if store == "s3" and "profile" in said else "environment"


def objects_problems(store: str, said: Mapping[str, Any]) -> Iterator[str]:
    """Say which credentials are not whole, and which have no effect beside `credentials`."""
    kind = credentials_of(store, said)
    needed = _OF_CREDENTIALS[store].get(kind, ())
    for keys in needed:
        if not any(key in said for key in keys):
            names = " or ".join(f"`storage.{store}.{key}`" for key in keys)
            yield f"Expected the key {names}, which the credentials `{kind}` need"
    taken = {key for keys in needed for key in keys} | set(_BESIDE.get((store, kind), ()))
    others = {key for keys in _OF_CREDENTIALS[store].values() for group in keys for key in group} | {
        key for (one, _), keys in _BESIDE.items() if one == store for key in keys
    }
    for key in said:
        if key in others - taken and not (
            key == "profiles_file" and said[key] == S3["properties"][key]["default"]
        ):
            yield f"`storage.{store}.{key}` has no effect with the credentials `{kind}`; take it out, or change `storage.{store}.credentials`"
