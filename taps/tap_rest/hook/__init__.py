"""What a hook is given: `from tap_rest.hook import Request, Response`, for those who write types."""

from tap_rest.hook.shapes import Request, Response

__all__ = ["Request", "Response"]
